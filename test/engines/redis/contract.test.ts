import { afterAll, beforeAll } from 'vitest';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { fullRedis, makeRedisInstance } from './instance.ts';
import { restoreRights } from './rights.ts';

const engine = createRedisEngine();
const user = { username: 'keeper', password: 'pw@:/%ü' };
let plain: RedisServer;
let encrypted: RedisServer;

beforeAll(async () => {
  plain = await startRedisServer();
  encrypted = await startRedisServer({
    tls: true,
    users: [`user ${user.username} on >${user.password} ${restoreRights}`],
    // From a file, with a length that is known, and not from the forked process.
    settings: { 'repl-diskless-sync': 'no' },
  });
});
afterAll(() => Promise.all([plain.stop(), encrypted.stop()]));

describeEngine('Redis', {
  engine,
  method: 'staged',
  makeInstance: () => makeRedisInstance(plain),
  full: () => fullRedis(plain),
});

describeEngine('Redis with TLS, by way of a file, as a user with the rights of the docs', {
  engine,
  method: 'staged',
  makeInstance: () => makeRedisInstance(encrypted, user),
  full: () => fullRedis(encrypted, user),
});
