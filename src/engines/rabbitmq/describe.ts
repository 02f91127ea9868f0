import type { PlannedThing } from '../engine.ts';
import { type Item, isLimits, isOperatorPolicy, type Section } from './definitions.ts';

const kinds: Readonly<Record<Section, string>> = {
  vhosts: 'vhost',
  users: 'user',
  permissions: 'permission',
  topic_permissions: 'topic permission',
  parameters: 'parameter',
  global_parameters: 'global parameter',
  policies: 'policy',
  exchanges: 'exchange',
  queues: 'queue',
  bindings: 'binding',
};

/** A thing in the words of people. Only its name: what it holds may be a secret (the URI of a shovel, say). */
export function describeThing(section: Section, item: Item, vhost: string | undefined): PlannedThing {
  const within = vhost ?? item.vhost;
  return {
    kind: isOperatorPolicy(section, item)
      ? 'operator policy'
      : isLimits(section, item)
        ? 'limits'
        : kinds[section],
    name: nameOf(section, item),
    within: typeof within === 'string' ? `vhost ${within}` : null,
  };
}

/** The same in one text: `queue "orders" in vhost "/"`. */
export function textOf(section: Section, item: Item, vhost: string | undefined): string {
  const { kind, name } = describeThing(section, item, vhost);
  const within = vhost ?? item.vhost;
  return `${kind} "${name}"${typeof within === 'string' ? ` in vhost "${within}"` : ''}`;
}

function nameOf(section: Section, item: Item): string {
  const text = (field: string) => String(item[field] ?? '');
  switch (section) {
    case 'permissions':
      return text('user');
    case 'topic_permissions':
      return `${text('user')} on exchange ${text('exchange')}`;
    case 'parameters':
      return isOperatorPolicy(section, item) || isLimits(section, item)
        ? text('name')
        : `${text('component')} ${text('name')}`;
    case 'bindings':
      return `${text('source')} to ${text('destination_type')} ${text('destination')}, key ${text('routing_key')}`;
    default:
      return text('name');
  }
}
