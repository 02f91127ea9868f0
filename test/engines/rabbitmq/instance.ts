import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRabbitmqEngine } from '../../../src/engines/rabbitmq/engine.ts';
import type { InstanceFixture } from '../../contract/engine-contract.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import { at, definitionLines, isOurs, type Management, manage } from '../../support/rabbitmq-management.ts';
import type { RabbitmqServer } from '../../support/rabbitmq-server.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

export const engine = createRabbitmqEngine();

/** A whole broker, emptied, or one vhost of it. */
export interface RabbitmqInstance extends InstanceFixture {
  readonly management: Management;
  /** Where tests write: the vhost itself, or the broker's `/`. */
  readonly vhost: string;
  fingerprint(): Promise<string[]>;
}

export async function makeRabbitmqInstance(
  server: RabbitmqServer,
  scope: 'broker' | 'vhost',
): Promise<RabbitmqInstance> {
  const management = manage(server);
  const vhost = scope === 'broker' ? '/' : `test "${randomBytes(4).toString('hex')}" %2F/ü`;
  if (scope === 'broker') await emptyBroker(management, server.username);
  else await management.call('PUT', `vhosts/${at(vhost)}`);
  const proxy = await startTcpProxy(server);
  const { host, username, password } = server;
  const fields = { host, username, password, ...(scope === 'vhost' ? { vhost } : {}) };
  let written = 0;
  return {
    management,
    vhost,
    connection: engine.parseConnection({ ...fields, port: proxy.port }),
    wrong: {
      connection: engine.parseConnection({ ...fields, port: proxy.port, password: 'wr0ng-s3cret' }),
      secret: 'wr0ng-s3cret',
    },
    unreachable: engine.parseConnection({ ...fields, port: 1 }),
    fill: (kind) => (kind === 'bulk' ? fillBulk(management, vhost) : fillHostile(management, vhost, scope)),
    fingerprint: () => definitionLines(management, scope === 'vhost' ? vhost : undefined),
    write: async () => {
      const name = `written ${++written}`;
      await management.call('PUT', `queues/${at(vhost, name)}`, { durable: true });
      await management.call('POST', `bindings/${at(vhost)}/e/amq.fanout/q/${at(name)}`, {});
    },
    startWriting: () => startWriting(management, vhost),
    isConsistent: async () => {
      const names = async (path: string) =>
        new Set((await management.list(`${path}/${at(vhost)}`)).map(({ name }) => name));
      const [exchanges, queues] = [await names('exchanges'), await names('queues')];
      return [...queues].every((name) => exchanges.has(name));
    },
    killSource: () => proxy.cut(),
    remains: () => findRemains(management),
    close: async () => {
      await proxy.cut();
      if (scope === 'vhost') await management.call('DELETE', `vhosts/${at(vhost)}`);
      for (const { name } of await management.list('global-parameters'))
        if (isOurs(name)) await management.call('DELETE', `global-parameters/${at(String(name))}`);
      for (const { name } of await management.list('users'))
        if (isOurs(name)) await management.call('DELETE', `users/${at(String(name))}`);
    },
  };
}

export async function findRemains(management: Management): Promise<string[]> {
  const users = await management.list('users');
  const parameters = await management.list('global-parameters');
  // A journal that is kept for an undo has a user that holds its key.
  const keys = parameters.map(({ name }) => `${name}-key`);
  return [
    ...users
      .filter(({ name }) => isOurs(name) && !keys.includes(String(name)))
      .map(({ name }) => `user ${name}`),
    ...parameters
      .filter(({ name, value }) => isOurs(name) && (value as { state: string }).state !== 'done')
      .map(({ name }) => `journal ${name}`),
  ];
}

async function emptyBroker(management: Management, self: string): Promise<void> {
  const vhosts = (await management.list('vhosts')).map(({ name }) => String(name));
  await Promise.all(vhosts.map((name) => management.call('DELETE', `vhosts/${at(name)}`)));
  await management.call('PUT', 'vhosts/%2F', { description: 'Default virtual host' });
  for (const { name } of await management.list('users'))
    if (name !== self) await management.call('DELETE', `users/${at(String(name))}`);
  for (const { name } of await management.list('global-parameters'))
    if (name !== 'internal_cluster_id')
      await management.call('DELETE', `global-parameters/${at(String(name))}`);
}

/** Exchanges take arguments of any size. */
async function fillBulk(management: Management, vhost: string): Promise<void> {
  const exchanges = Array.from({ length: 70 }, (_, index) => ({
    ...{ name: `bulk ${index}`, vhost, type: 'fanout', durable: true, auto_delete: false, internal: false },
    arguments: { note: randomBytes(32 * 1024).toString('hex') },
  }));
  await management.call('POST', 'definitions', { exchanges });
}

const hostileNames = [
  'a/b',
  '%2F',
  '..',
  '.',
  ' ',
  '"quoted"',
  "it's",
  '\\',
  '$(id) `id` ; rm',
  'ü',
  'u\u0308',
  '🦫',
  '#',
  '?a=b&c',
  '+',
  '<script>',
  'a\nb\t',
  'forestay-but-not-ours',
  '__proto__',
  'x'.repeat(255),
];

/** Names and values that break careless code, of every kind of thing. */
export async function fillHostile(
  management: Management,
  vhost: string,
  scope: 'broker' | 'vhost',
): Promise<void> {
  const durable = { durable: true, auto_delete: false };
  const exchange = (name: string, type = 'topic', more: object = {}) => ({
    ...{ name, vhost, type, internal: false, arguments: {}, ...durable, ...more },
  });
  const queue = (name: string, args: object = {}, more: object = {}) => ({
    ...{ name, vhost, ...durable, arguments: args, ...more },
  });
  const binding = (source: string, destination: string, key: string, args: object = {}, type = 'queue') => ({
    ...{ source, vhost, destination, destination_type: type, routing_key: key, arguments: args },
  });
  const names = hostileNames;
  await management.call('POST', 'definitions', {
    parameters: [
      parameter(vhost, 'operator_policy', 'op é', {
        ...{ pattern: '^hostile "', 'apply-to': 'queues', priority: -5, definition: { 'max-length': 7 } },
      }),
      parameter(vhost, 'federation-upstream', 'far / away', {
        uri: 'amqp://user:p%40ss@127.0.0.1:1/%2F',
        'reconnect-delay': 3600,
      }),
    ],
    policies: names.map((name, index) => ({
      ...{ vhost, name, pattern: `^${'('.repeat(3)}never${')'.repeat(3)}$`, 'apply-to': 'all' },
      ...{ priority: index, definition: { 'message-ttl': 86_400_000 } },
    })),
    exchanges: [
      ...names.map((name) => exchange(name)),
      exchange('internal', 'headers', { internal: true }),
      exchange('with alternate', 'direct', { arguments: { 'alternate-exchange': 'a/b' } }),
      exchange('not durable', 'fanout', { durable: false }),
    ],
    queues: [
      ...names.map((name) => queue(name)),
      queue('quorum', { 'x-queue-type': 'quorum', 'x-delivery-limit': 3 }),
      queue('stream', { 'x-queue-type': 'stream', 'x-max-length-bytes': 9_007_199_254_740_991 }),
      queue('lazy', { 'x-queue-mode': 'lazy', 'x-max-priority': 5, 'x-dead-letter-exchange': '' }),
      queue('not durable', {}, { durable: false }),
      queue('durable, auto-delete', {}, { auto_delete: true }),
    ],
  });
  // In a text of its own: numbers that JavaScript would change.
  const numbers = JSON.stringify({ bindings: [binding('internal', 'lazy', '', { key: 'K' })] });
  const raw =
    '{"whole":1.0,"large":9223372036854775807,"small":-1.5e-7,"list":[1,"a",{"deep":true}],"x-match":"any"}';
  await management.call('POST', 'definitions', numbers.replace('{"key":"K"}', raw));
  await management.call('POST', 'definitions', {
    bindings: [
      ...names.map((name) => binding(name, name, name)),
      binding('amq.topic', 'a/b', '#.*.', {}, 'exchange'),
      binding('a/b', 'quorum', ''),
      binding('a/b', 'quorum', 'key', { one: 1 }),
      binding('a/b', 'quorum', 'key', { one: 2 }),
    ],
  });
  await management.call('PUT', `vhost-limits/${at(vhost)}/max-queues`, { value: 200 });
  if (scope === 'broker') await fillBroker(management);
}

async function fillBroker(management: Management): Promise<void> {
  // What tests could not remove again.
  const names = hostileNames.filter((name) => name !== '.' && name !== '..');
  const vhosts = names;
  const users = names;
  await management.call('POST', 'definitions', {
    vhosts: vhosts.map((name) => ({ name, metadata: { description: `of ${name}`, tags: ['a', 'b'] } })),
    users: users.map((name, index) => ({
      name,
      password_hash: Buffer.alloc(36, index).toString('base64'),
      hashing_algorithm: 'rabbit_password_hashing_sha256',
      tags: index % 2 ? 'monitoring,odd tag' : '',
      limits: index % 3 ? {} : { 'max-connections': index },
    })),
    permissions: users.flatMap((user) =>
      vhosts
        .slice(0, 3)
        .map((vhost) => ({ user, vhost, configure: `^${'a'.repeat(9)}"$`, write: '', read: '.*' })),
    ),
    topic_permissions: users.map((user) => ({
      ...{ user, vhost: 'a/b', exchange: 'amq.topic', write: '^{username}-.*', read: '.*' },
    })),
    global_parameters: names.map((name) => ({ name, value: { nested: [name, null, true, 0] } })),
    queues: vhosts.slice(0, 5).map((vhost) => ({
      ...{ name: vhost, vhost, durable: true, auto_delete: false, arguments: {} },
    })),
  });
}

function parameter(vhost: string, component: string, name: string, value: object): object {
  return { vhost, component, name, value };
}

/** At every moment there is an exchange of the name of each queue; the names change all the time. */
async function startWriting(management: Management, vhost: string): Promise<{ stop(): Promise<void> }> {
  const change = async (turn: number) => {
    const name = at(vhost, `turn ${turn}`);
    await management.call('PUT', `exchanges/${name}`, { type: 'fanout', durable: true });
    await management.call('PUT', `queues/${name}`, { durable: true });
    const old = at(vhost, `turn ${turn - 3}`);
    if (turn > 3) await management.call('DELETE', `queues/${old}`);
    if (turn > 3) await management.call('DELETE', `exchanges/${old}`);
  };
  for (const turn of [1, 2, 3]) await change(turn);
  return keepDoing(async (turn) => {
    await change(turn + 3);
    // A backup asks this twice, and for more each time: the slower the answer comes, the longer it must find the broker at rest.
    const askedAt = performance.now();
    await management.call('GET', 'definitions');
    await sleep(Math.max(120, 8 * (performance.now() - askedAt)));
  });
}
