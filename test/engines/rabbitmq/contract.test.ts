import { afterAll, beforeAll } from 'vitest';
import { describeEngine } from '../../contract/engine-contract.ts';
import { type RabbitmqServer, startRabbitmqServer } from '../../support/rabbitmq-server.ts';
import { engine, makeRabbitmqInstance } from './instance.ts';

let server: RabbitmqServer;
beforeAll(async () => {
  server = await startRabbitmqServer({ plugins: ['rabbitmq_federation'] });
});
afterAll(() => server.stop());

const neverFull =
  'definitions are a few megabytes that no quota of a broker counts; limits of vhosts are themselves restored';

describeEngine('RabbitMQ, a whole broker', {
  engine,
  method: 'in place',
  undoable: true,
  makeInstance: () => makeRabbitmqInstance(server, 'broker'),
  full: { notRun: neverFull },
});

describeEngine('RabbitMQ, one vhost', {
  engine,
  method: 'in place',
  undoable: true,
  makeInstance: () => makeRabbitmqInstance(server, 'vhost'),
  full: { notRun: neverFull },
});
