import { canonical, isObject, type Json } from './json.ts';

/**
 * Definitions of a broker, as its management API exports and imports them (`/api/definitions`): lists of objects, here by
 * what identifies each. Those of one vhost have no field `vhost`, so that they fit into a vhost of any name.
 */
export type Definitions = ReadonlyMap<Section, ReadonlyMap<string, Item>>;
export type Item = Readonly<Record<string, Json>>;

/** In the order in which things need each other. */
export const sections = [
  'vhosts',
  'users',
  'permissions',
  'topic_permissions',
  'parameters',
  'global_parameters',
  'policies',
  'exchanges',
  'queues',
  'bindings',
] as const;
export type Section = (typeof sections)[number];

/** By which fields things are told apart; `vhost` counts where there is one. */
const identities: Readonly<Record<Section, readonly string[]>> = {
  vhosts: ['name'],
  users: ['name'],
  permissions: ['vhost', 'user'],
  topic_permissions: ['vhost', 'user', 'exchange'],
  parameters: ['vhost', 'component', 'name'],
  global_parameters: ['name'],
  policies: ['vhost', 'name'],
  exchanges: ['vhost', 'name'],
  queues: ['vhost', 'name'],
  bindings: ['vhost', 'source', 'destination_type', 'destination', 'routing_key', 'arguments'],
};

/** What an instance that is one vhost consists of. Its users, and so their permissions, are not its own. */
const ofOneVhost: ReadonlySet<Section> = new Set([
  'parameters',
  'policies',
  'exchanges',
  'queues',
  'bindings',
]);

/** Of queues and exchanges the broker compares these, and newer versions export more. */
export const comparedFields: Readonly<Partial<Record<Section, readonly string[]>>> = {
  queues: ['durable', 'auto_delete', 'arguments'],
  exchanges: ['type', 'durable', 'auto_delete', 'internal', 'arguments'],
};

/** Everything of ours at a broker bears such a name: a user or global parameter of one restore. */
const oursPattern = /^forestay-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-|$)/;

/** What was read is not what RabbitMQ calls definitions. */
export class NotDefinitions extends Error {}

/** Reads what the broker exports; with a vhost, only what is in that. */
export function fromBroker(exported: Json, vhost: string | undefined): Definitions {
  return select(withoutTemporary(read(exported)), (section, item) => {
    if (section === 'global_parameters' && item.name === 'internal_cluster_id') return undefined;
    if (
      oursPattern.test(String(section === 'users' || section === 'global_parameters' ? item.name : item.user))
    )
      return undefined;
    if (vhost === undefined) return item;
    if (!ofOneVhost.has(section) || item.vhost !== vhost) return undefined;
    const { vhost: _, ...rest } = item;
    return rest;
  });
}

/** Without what only clients can make again, and what is bound to it. */
export function withoutTemporary(all: Definitions): Definitions {
  const queues = temporaries(all, 'queues');
  const exchanges = temporaries(all, 'exchanges');
  return select(all, (section, item) => {
    if (section === 'queues' || section === 'exchanges') return isTemporary(section, item) ? undefined : item;
    if (section !== 'bindings') return item;
    const destinations = item.destination_type === 'queue' ? queues : exchanges;
    const isBoundToOne =
      exchanges.has(place(item.vhost, item.source)) || destinations.has(place(item.vhost, item.destination));
    return isBoundToOne ? undefined : item;
  });
}

/** Reads what a backup holds. */
export function fromBackup(stored: Json): Definitions {
  return read(stored);
}

/** As the broker imports them. */
export function forImport(section: Section, item: Item, vhost: string | undefined): Item {
  return vhost === undefined || section === 'vhosts' ? item : { ...item, vhost };
}

export function keyOf(section: Section, item: Item): string {
  return canonical(identities[section].map((field) => item[field] ?? null));
}

export function itemsOf(definitions: Definitions, section: Section): ReadonlyMap<string, Item> {
  return definitions.get(section) ?? new Map();
}

export function countOf(definitions: Definitions): number {
  return [...definitions.values()].reduce((sum, items) => sum + items.size, 0);
}

/** The parameters that are more than that to users. */
export function isLimits(section: Section, item: Item): boolean {
  return section === 'parameters' && item.component === 'vhost-limits';
}
export function isOperatorPolicy(section: Section, item: Item): boolean {
  return section === 'parameters' && item.component === 'operator_policy';
}

/**
 * Auto-delete and not durable: it lives as long as the clients that use it. Made again without them, a queue of this kind
 * would never be deleted, and fill up. Queues that the broker has named for a client (`amq.gen-…`), be they durable, it exports, but
 * passes over when it imports.
 */
function isTemporary(section: 'queues' | 'exchanges', item: Item): boolean {
  if (section === 'queues' && String(item.name).startsWith('amq.')) return true;
  return item.auto_delete === true && item.durable === false;
}

function temporaries(definitions: Definitions, section: 'queues' | 'exchanges'): ReadonlySet<string> {
  const found = [...itemsOf(definitions, section).values()].filter((item) => isTemporary(section, item));
  return new Set(found.map((item) => place(item.vhost, item.name)));
}

const place = (vhost: Json | undefined, name: Json | undefined) => canonical([vhost ?? null, name ?? null]);

function read(value: Json): Definitions {
  if (!isObject(value)) throw new NotDefinitions('it is not an object');
  const definitions = new Map<Section, Map<string, Item>>();
  for (const section of sections) {
    const list = value[section] ?? [];
    if (!Array.isArray(list)) throw new NotDefinitions(`${section} is not a list`);
    const items = new Map<string, Item>();
    for (const item of list as readonly Json[]) {
      if (!isObject(item)) throw new NotDefinitions(`${section} holds something that is not an object`);
      const lacking = identities[section].find((field) => field !== 'vhost' && item[field] === undefined);
      if (lacking !== undefined) throw new NotDefinitions(`something in ${section} has no ${lacking}`);
      items.set(keyOf(section, item), item);
    }
    definitions.set(section, items);
  }
  return definitions;
}

function select(all: Definitions, pick: (section: Section, item: Item) => Item | undefined): Definitions {
  const selected = new Map<Section, Map<string, Item>>();
  for (const [section, items] of all) {
    const picked = new Map<string, Item>();
    for (const item of items.values()) {
      const found = pick(section, item);
      if (found) picked.set(keyOf(section, found), found);
    }
    selected.set(section, picked);
  }
  return selected;
}
