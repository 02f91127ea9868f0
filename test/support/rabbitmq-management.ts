import type { RabbitmqServer } from './rabbitmq-server.ts';

type Members = Readonly<Record<string, unknown>>;

/** The management API as tests use it: by its own client, and never by `/api/definitions`, which is what the engine reads. */
export interface Management {
  /** Resolves with the answer's body; throws when it is not of the 200s. */
  call<Body = unknown>(method: string, path: string, body?: object | string): Promise<Body>;
  list(path: string): Promise<Members[]>;
}

export const at = (...names: string[]) => names.map(encodeURIComponent).join('/');

export function manage({ host, port, username, password }: RabbitmqServer): Management {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const call = async <Body>(method: string, path: string, body?: object | string): Promise<Body> => {
    const response = await fetch(`http://${host}:${port}/api/${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as Body;
  };
  return { call, list: (path) => call('GET', path) };
}

/** What is ours at the broker and not the instance's. */
export const isOurs = (name: unknown) => /^forestay-[0-9a-f-]{36}/.test(String(name));

/** Which fields of a listing are definitions; the others are figures. */
const listings: readonly (readonly [path: string, fields: readonly string[]])[] = [
  ['vhosts', ['name', 'metadata']],
  ['users', ['name', 'password_hash', 'hashing_algorithm', 'tags', 'limits']],
  ['permissions', ['user', 'vhost', 'configure', 'write', 'read']],
  ['topic-permissions', ['user', 'vhost', 'exchange', 'write', 'read']],
  ['global-parameters', ['name', 'value']],
  ['parameters', ['vhost', 'component', 'name', 'value']],
  ['policies', ['vhost', 'name', 'pattern', 'apply-to', 'definition', 'priority']],
  ['operator-policies', ['vhost', 'name', 'pattern', 'apply-to', 'definition', 'priority']],
  ['vhost-limits', ['vhost', 'value']],
  ['exchanges', ['vhost', 'name', 'type', 'durable', 'auto_delete', 'internal', 'arguments']],
  ['queues', ['vhost', 'name', 'type', 'durable', 'auto_delete', 'arguments']],
  ['bindings', ['vhost', 'source', 'destination_type', 'destination', 'properties_key', 'arguments']],
];

/** A definition: what it is, what tells it from others, and all of it in one text. */
export interface ListedDefinition {
  readonly kind: string;
  readonly name: string;
  readonly value: string;
}

const identifying = [
  'vhost',
  'component',
  'name',
  'user',
  'exchange',
  'source',
  'destination_type',
  'destination',
  'properties_key',
];

/** Every definition that the broker lists. With a vhost: those in it, without its name. */
export async function listDefinitions(management: Management, vhost?: string): Promise<ListedDefinition[]> {
  const found = await Promise.all(
    listings.map(async ([path, fields]) => {
      if (vhost !== undefined && (!fields.includes('vhost') || path.endsWith('permissions'))) return [];
      const told = fields.filter((field) => vhost === undefined || field !== 'vhost');
      return (await management.list(path))
        .filter((item) => vhost === undefined || item.vhost === vhost)
        .filter((item) => !isOurs(item.name))
        .map((item) => ({
          kind: path,
          name: told
            .filter((field) => identifying.includes(field))
            .map((field) => String(item[field]))
            .join(' '),
          value: JSON.stringify(Object.fromEntries(told.map((field) => [field, item[field]])), sortKeys),
        }));
    }),
  );
  return found.flat();
}

/** The same as lines, sorted. */
export async function definitionLines(management: Management, vhost?: string): Promise<string[]> {
  return (await listDefinitions(management, vhost)).map(({ kind, value }) => `${kind} ${value}`).sort();
}

function sortKeys(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
