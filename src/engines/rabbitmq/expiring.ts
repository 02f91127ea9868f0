import { type Definitions, type Item, isOperatorPolicy, itemsOf, type Section } from './definitions.ts';
import { canonical, isObject, type Json } from './json.ts';
import type { Thing } from './plan.ts';

/**
 * Whether the broker itself may remove a thing as soon as it is made, because nobody uses it: a queue that expires, an exchange that
 * is deleted with its last binding, and what is bound to one of these.
 */
export function mayExpire(wanted: Definitions, { section, item }: Thing): boolean {
  switch (section) {
    case 'queues':
      return expires(item.arguments, 'x-expires') || hasExpiringPolicy(wanted, item.vhost);
    case 'exchanges':
      return item.auto_delete === true;
    case 'bindings': {
      const ends: [Section, Json | undefined][] = [
        ['exchanges', item.source],
        [item.destination_type === 'queue' ? 'queues' : 'exchanges', item.destination],
      ];
      return ends.some(([of, name]) => {
        const end = find(wanted, of, item.vhost, name);
        return end !== undefined && mayExpire(wanted, { section: of, key: '', item: end });
      });
    }
    default:
      return false;
  }
}

/** Patterns are RabbitMQ's to match: any policy of the vhost counts. */
function hasExpiringPolicy(wanted: Definitions, vhost: Json | undefined): boolean {
  const isHere = (item: Item) => item.vhost === vhost;
  const policies = [...itemsOf(wanted, 'policies').values()].filter(isHere);
  const operators = [...itemsOf(wanted, 'parameters').values()].filter(
    (item) => isOperatorPolicy('parameters', item) && isHere(item),
  );
  return (
    policies.some(({ definition }) => expires(definition, 'expires')) ||
    operators.some(({ value }) => isObject(value) && expires(value.definition, 'expires'))
  );
}

function expires(settings: Json | undefined, name: string): boolean {
  return isObject(settings) && settings[name] !== undefined;
}

function find(
  wanted: Definitions,
  section: Section,
  vhost: Json | undefined,
  name: Json | undefined,
): Item | undefined {
  const place = canonical([vhost ?? null, name ?? null]);
  return [...itemsOf(wanted, section).values()].find(
    (item) => canonical([item.vhost ?? null, item.name ?? null]) === place,
  );
}
