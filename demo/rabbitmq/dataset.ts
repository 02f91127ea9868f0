import { createHash } from 'node:crypto';
import { listDefinitions, type Management, manage } from '../../test/support/rabbitmq-management.ts';
import {
  type RabbitmqServer,
  rabbitmqMissing,
  startRabbitmqServer,
} from '../../test/support/rabbitmq-server.ts';
import type { Check, Dataset, DemoServer, Fingerprint } from '../dataset.ts';
import { DemoFailed } from '../demo-failed.ts';
import { count } from '../narrate.ts';
import { prepareMachine } from '../prepare-machine.ts';
import { fill } from './fill.ts';

const requirement = {
  what: 'RabbitMQ server',
  packages: ['rabbitmq-server'],
  isMet: () => rabbitmqMissing() === undefined,
};

/** The story with the definitions of a broker: private RabbitMQ servers of what the machine has. */
export function createRabbitmqDataset(): Dataset {
  return {
    engine: 'rabbitmq',
    prepareMachine: () => prepareMachine([requirement]),
    async startServer() {
      const server = await startRabbitmqServer({ plugins: ['rabbitmq_federation'] });
      try {
        return await makeInstance(server);
      } catch (error) {
        await server.stop();
        throw error;
      }
    },
  };
}

async function makeInstance(server: RabbitmqServer): Promise<DemoServer> {
  const management = manage(server);
  const { rabbitmq_version: version } = await management.call<{ rabbitmq_version: string }>(
    'GET',
    'overview',
  );
  const bytes = async () => (await text(management)).length;
  const { host, port, username, password } = server;
  return {
    title: `RabbitMQ ${version}`,
    connection: { host, port, username, password },
    fill: (size, onStep, signal) => fill(management, size, onStep, signal),
    size: bytes,
    expectedBackupBytes: bytes,
    fingerprint: () => fingerprint(management, username),
    destroySomeData: () => destroySomeData(management),
    checkOpened: (file) => checkOpened(server, file),
    destroy: () => server.stop(),
  };
}

async function text(management: Management): Promise<string> {
  return JSON.stringify(await management.call('GET', 'definitions'));
}

/** Everything that the broker lists, but for the user that Forestay connects as, which no restore touches. */
async function fingerprint(management: Management, self: string): Promise<Fingerprint> {
  const facts = new Map<string, string>();
  const kinds = new Map<string, number>();
  for (const { kind, name, value } of await listDefinitions(management)) {
    if ((kind === 'users' && name === self) || name === 'internal_cluster_id') continue;
    facts.set(`${kind}: ${name}`, createHash('sha256').update(value).digest('hex').slice(0, 16));
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const of = (kind: string) => count(kinds.get(kind) ?? 0);
  return {
    facts,
    summary: `${of('vhosts')} vhosts, ${of('users')} users, ${of('exchanges')} exchanges, ${of('queues')} queues, ${of('bindings')} bindings, ${of('policies')} policies`,
  };
}

async function destroySomeData(management: Management): Promise<string[]> {
  const queues = await management.list('queues/analytics');
  await management.call('DELETE', 'vhosts/analytics');
  await management.call('DELETE', 'users/billing');
  await management.call('PUT', 'policies/shop/dead%20letters', {
    ...{ pattern: '.*', 'apply-to': 'queues', priority: 9, definition: { 'message-ttl': 1000 } },
  });
  const bindings = await management.list('bindings/shop/e/orders/q/shop.invoices.0');
  for (const { properties_key: key } of bindings)
    await management.call(
      'DELETE',
      `bindings/shop/e/orders/q/shop.invoices.0/${encodeURIComponent(String(key))}`,
    );
  await management.call('PUT', 'users/intern', { password: 'intern', tags: 'administrator' });
  return [
    `rabbitmqctl delete_vhost analytics: ${count(queues.length)} queues are gone, with everything around them.`,
    'The user "billing" is deleted: its service cannot log in any more.',
    'A policy that was meant for the test system: every message in the shop lives for one second.',
    'Invoices are not bound to orders any more: messages get lost in silence.',
    'And there is an administrator "intern" whose password is "intern".',
  ];
}

/** RabbitMQ itself takes the file; into the broker it came from, where it changes nothing. */
async function checkOpened(server: RabbitmqServer, file: string): Promise<Check> {
  const before = await text(manage(server));
  await server.ctl('import_definitions', file).catch((error: unknown) => {
    throw new DemoFailed('rabbitmqctl does not take the opened download.', [String(error)]);
  });
  const after = await text(manage(server));
  if (after.length !== before.length)
    throw new DemoFailed('The opened download is not what the broker it came from holds.');
  return {
    command: 'rabbitmqctl import_definitions backup',
    result: 'RabbitMQ imports it without Forestay; the broker it came from does not change by it',
  };
}
