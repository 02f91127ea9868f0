import { afterAll, beforeAll } from 'vitest';
import { describeEngine } from '../../contract/engine-contract.ts';
import { type RabbitmqServer, startRabbitmqServer } from '../../support/rabbitmq-server.ts';
import { engine, makeRabbitmqInstance } from './instance.ts';

let server: RabbitmqServer;
beforeAll(async () => {
  server = await startRabbitmqServer({ plugins: ['rabbitmq_federation'] });
});
afterAll(() => server.stop());

describeEngine('RabbitMQ, a whole broker', {
  engine,
  method: 'in place',
  undoable: true,
  makeInstance: () => makeRabbitmqInstance(server, 'broker'),
});

describeEngine('RabbitMQ, one vhost', {
  engine,
  method: 'in place',
  undoable: true,
  makeInstance: () => makeRabbitmqInstance(server, 'vhost'),
});
