import { createHash } from 'node:crypto';
import type { Management } from '../../test/support/rabbitmq-management.ts';
import type { DataSize, FillStep } from '../dataset.ts';

/** How many copies of each service's queues there are: a shard each. */
const shards: Readonly<Record<DataSize, number>> = { full: 40, small: 4 };

const services = ['orders', 'invoices', 'shipping', 'mail', 'search'] as const;

/** The topology of a shop: services with users and queues of their own, topics between them, dead letters, an event log. */
export async function fill(
  management: Management,
  size: DataSize,
  onStep: (step: FillStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const steps: readonly (readonly [title: string, definitions: object])[] = [
    ['vhosts, users and permissions', people()],
    ['policies and limits', rules()],
    ['the queues of the shop', topology('shop', shards[size])],
    ['the queues of analytics', topology('analytics', Math.ceil(shards[size] / 4))],
  ];
  for (const [done, [title, definitions]] of steps.entries()) {
    signal.throwIfAborted();
    onStep({ done, total: steps.length, title });
    await management.call('POST', 'definitions', definitions);
  }
}

const vhosts = ['shop', 'analytics'];
const durable = { durable: true, auto_delete: false };

function people(): object {
  const users = ['orders', 'invoices', 'shipping', 'mail', 'search', 'billing', 'on call'];
  return {
    vhosts: vhosts.map((name) => ({ name, metadata: { description: `The ${name}`, tags: ['production'] } })),
    users: users.map((name) => ({
      ...{ name, password_hash: hashOf(name), hashing_algorithm: 'rabbit_password_hashing_sha256' },
      ...{ tags: name === 'on call' ? ['monitoring'] : [], limits: { 'max-connections': 50 } },
    })),
    permissions: users.flatMap((user) =>
      vhosts.map((vhost) => ({
        user,
        vhost,
        configure: '',
        write: `^(${user}|events)$`,
        read: `^shop\\.${user}\\.`,
      })),
    ),
    topic_permissions: users.map((user) => ({
      ...{ user, vhost: 'shop', exchange: 'orders', write: `^${user}\\.`, read: '.*' },
    })),
    global_parameters: [{ name: 'mqtt_default_vhosts', value: { 'CN=till': 'shop' } }],
  };
}

/** Salt and SHA-256, as RabbitMQ keeps them; always the same. */
function hashOf(user: string): string {
  const salt = createHash('sha256').update(user).digest().subarray(0, 4);
  const digest = createHash('sha256')
    .update(Buffer.concat([salt, Buffer.from(`password of ${user}`)]))
    .digest();
  return Buffer.concat([salt, digest]).toString('base64');
}

function rules(): object {
  return {
    policies: vhosts.flatMap((vhost) => [
      policy(vhost, 'dead letters', '^shop\\.', { 'dead-letter-exchange': 'dead' }, 1),
      policy(
        vhost,
        'mail is short-lived',
        '^shop\\.mail',
        { 'message-ttl': 86_400_000, 'dead-letter-exchange': 'dead' },
        5,
      ),
    ]),
    parameters: vhosts.flatMap((vhost) => [
      {
        ...{ vhost, component: 'operator_policy', name: 'no queue grows for ever' },
        value: { pattern: '.*', 'apply-to': 'queues', priority: 0, definition: { 'max-length': 1_000_000 } },
      },
      {
        vhost,
        component: 'vhost-limits',
        name: 'limits',
        value: { 'max-connections': 500, 'max-queues': 2000 },
      },
      {
        ...{ vhost, component: 'federation-upstream', name: 'the other warehouse' },
        value: { uri: 'amqps://warehouse.example.org', 'max-hops': 1 },
      },
    ]),
  };
}

function policy(vhost: string, name: string, pattern: string, definition: object, priority: number): object {
  return { vhost, name, pattern, 'apply-to': 'queues', definition, priority };
}

function topology(vhost: string, copies: number): object {
  const exchange = (name: string, type: string, args: object = {}) => ({
    ...{ name, vhost, type, internal: false, arguments: args, ...durable },
  });
  const names = services.flatMap((service) =>
    Array.from({ length: copies }, (_, shard) => ({ service, shard, name: `shop.${service}.${shard}` })),
  );
  const binding = (source: string, destination: string, key: string, args: object = {}) => ({
    ...{ vhost, source, destination, destination_type: 'queue', routing_key: key, arguments: args },
  });
  return {
    exchanges: [
      exchange('unroutable', 'fanout'),
      exchange('orders', 'topic', { 'alternate-exchange': 'unroutable' }),
      exchange('events', 'headers'),
      exchange('dead', 'fanout'),
    ],
    queues: [
      ...names.map(({ service, name }) => ({ name, vhost, ...durable, arguments: argumentsOf(service) })),
      { name: 'unroutable', vhost, ...durable, arguments: {} },
      { name: 'dead letters', vhost, ...durable, arguments: { 'x-queue-mode': 'lazy' } },
    ],
    bindings: [
      ...names.map(({ service, shard, name }) => binding('orders', name, `${service}.${shard}.#`)),
      ...names.map(({ service, name }) => binding('events', name, '', { service, 'x-match': 'all' })),
      binding('unroutable', 'unroutable', ''),
      binding('dead', 'dead letters', ''),
    ],
  };
}

function argumentsOf(service: (typeof services)[number]): object {
  switch (service) {
    case 'orders':
      return { 'x-single-active-consumer': true };
    case 'mail':
      return { 'x-max-priority': 10 };
    case 'search':
      return { 'x-queue-mode': 'lazy', 'x-max-length': 100_000, 'x-overflow': 'reject-publish' };
    default:
      return {};
  }
}
