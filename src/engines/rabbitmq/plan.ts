import {
  comparedFields,
  type Definitions,
  type Item,
  itemsOf,
  type Section,
  sections,
} from './definitions.ts';
import { canonical, isObject, type Json } from './json.ts';

/** What makes the definitions of a broker equal to others. */
export interface Changes {
  readonly added: readonly Thing[];
  readonly changed: readonly Change[];
  readonly removed: readonly Thing[];
  /** What stays different on purpose, a sentence each. */
  readonly notKept: readonly string[];
}

export interface Thing {
  readonly section: Section;
  readonly key: string;
  readonly item: Item;
}

export interface Change extends Thing {
  /** The fields that are different. */
  readonly differs: readonly string[];
}

/**
 * Compares. The user `self`, as whom Forestay connects, is neither removed nor changed, nor is a permission of it taken away:
 * the next restore would not get in.
 */
export function planChanges(
  { current, wanted }: { readonly current: Definitions; readonly wanted: Definitions },
  self: string,
): Changes {
  const added: Thing[] = [];
  const changed: Change[] = [];
  const removed: Thing[] = [];
  const notKept: string[] = [];
  for (const section of sections) {
    const [there, here] = [itemsOf(wanted, section), itemsOf(current, section)];
    for (const [key, item] of there) {
      const found = here.get(key);
      if (!found) {
        added.push({ section, key, item });
        continue;
      }
      const differs = differences(section, item, found);
      if (differs.length === 0) continue;
      if (section === 'users' && item.name === self)
        notKept.push(
          `The user "${self}" is the one that Forestay connects as, so it was left as it is (different: ${differs.join(', ')}).`,
        );
      else changed.push({ section, key, item, differs });
    }
    for (const [key, item] of here) {
      if (there.has(key)) continue;
      if (section === 'users' && item.name === self)
        notKept.push(`The user "${self}" is the one that Forestay connects as, so it was not removed.`);
      else if (!(isPermission(section) && item.user === self)) removed.push({ section, key, item });
    }
  }
  return { added, changed, removed, notKept };
}

/** Fields that only newer brokers know make no difference. */
function differences(section: Section, wanted: Item, found: Item): string[] {
  const fields = comparedFields[section] ?? Object.keys(wanted);
  return fields.filter(
    (field) => comparable(field, wanted[field] ?? null) !== comparable(field, found[field] ?? null),
  );
}

/** Of a vhost that rabbitmqctl made the tags are no list, but an empty text; of one that was imported they are an empty list. */
function comparable(field: string, value: Json): string {
  const hasNoTags = field === 'metadata' && isObject(value) && value.tags === '';
  return canonical(hasNoTags ? { ...value, tags: [] } : value);
}

function isPermission(section: Section): boolean {
  return section === 'permissions' || section === 'topic_permissions';
}
