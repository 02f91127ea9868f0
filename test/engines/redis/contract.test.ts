import { afterAll, beforeAll } from 'vitest';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { makeRedisInstance } from './instance.ts';

const engine = createRedisEngine();
let server: RedisServer;

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server.stop());

describeEngine('Redis', { engine, method: 'staged', makeInstance: () => makeRedisInstance(server) });
