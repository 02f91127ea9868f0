import { forEach, isAddressable } from './api.ts';
import { type Item, isOperatorPolicy } from './definitions.ts';
import { canonical, isObject, type Json } from './json.ts';
import type { Thing } from './plan.ts';
import { deleteEmptyQueues, lookAtQueues, reasonToLeave } from './queues.ts';
import { isLeft, leave, leaveSilently, queueOf, type Work } from './work.ts';

/** Removes things that the address of the management API names. */
export async function removeByPath(work: Work, things: readonly Thing[]): Promise<void> {
  await forEach(things, (thing) => removeAt(work, thing, pathOf(work, thing)));
}

/** Removes queues that are empty and not in use. */
export async function removeQueues(work: Work, things: readonly Thing[], why: string): Promise<void> {
  const byName = new Map(things.map((thing) => [JSON.stringify(queueOf(work, thing)), thing]));
  await deleteEmptyQueues(
    work.api,
    things.map((thing) => queueOf(work, thing)),
    work.signal,
    (queue, reason) => {
      const thing = byName.get(JSON.stringify(queue));
      if (thing) leave(work, thing, `${why}, but ${reason}`);
    },
  );
}

/** A binding is addressed by a key that only the broker knows. */
export async function removeBindings(work: Work, things: readonly Thing[]): Promise<void> {
  const byVhost = Map.groupBy(things, (thing) => queueOf(work, thing).vhost);
  for (const [vhost, bindings] of byVhost) {
    const wanted = new Map(bindings.map((thing) => [bindingKey(thing.item), thing]));
    const listed = isAddressable(vhost) ? await work.api.get(['bindings', vhost]) : undefined;
    await forEach(Array.isArray(listed) ? (listed as readonly Json[]) : [], async (found) => {
      const thing = isObject(found) ? wanted.get(bindingKey(found)) : undefined;
      if (!isObject(found) || !thing) return;
      const text = (field: string) => String(found[field]);
      const kind = found.destination_type === 'queue' ? 'q' : 'e';
      const ends = [text('source'), kind, text('destination'), text('properties_key')];
      await removeAt(work, thing, ['bindings', vhost, 'e', ...ends]);
    });
  }
}

/** An import of a user adds limits, and takes none away. */
export async function removeUserLimits({ api }: Work, users: readonly Thing[]): Promise<void> {
  await forEach(users, async ({ item }) => {
    const user = String(item.name);
    if (!isAddressable(user)) return;
    const listed = await api.get(['user-limits', user]);
    const [found] = Array.isArray(listed) ? (listed as readonly Json[]) : [];
    const names = isObject(found) && isObject(found.value) ? Object.keys(found.value) : [];
    for (const name of names)
      if (!isObject(item.limits) || item.limits[name] === undefined)
        await api.delete(['user-limits', user, name]);
  });
}

/**
 * A vhost goes with all its queues, also those that no backup lists: one that has a queue with messages or consumers stays, with
 * all that is in it.
 */
export async function spareVhostsInUse(work: Work, removed: readonly Thing[]): Promise<void> {
  const things = removed.filter((thing) => thing.section === 'vhosts' && !isLeft(work, thing));
  const figures = await lookAtQueues(
    work.api,
    things.map(({ item }) => String(item.name)),
  );
  for (const thing of things) {
    const vhost = String(thing.item.name);
    const inUse = [...figures.values()]
      .filter((queue) => queue.vhost === vhost)
      .map((queue) => ({ name: queue.name, reason: reasonToLeave(figures, queue) }))
      .find(({ reason }) => reason !== undefined);
    if (!inUse) continue;
    leave(work, thing, `is not in the backup, but its queue "${inUse.name}" ${inUse.reason}`);
    for (const other of removed) if (other.item.vhost === vhost) leaveSilently(work, other);
  }
}

async function removeAt(work: Work, thing: Thing, path: readonly string[]): Promise<void> {
  if (isAddressable(...path)) await work.api.delete(path);
  else leave(work, thing, 'should go, but has a name that the management API cannot address');
}

function bindingKey(item: Item): string {
  const fields = ['source', 'destination_type', 'destination', 'routing_key', 'arguments'];
  return canonical(fields.map((field) => item[field] ?? null));
}

function pathOf({ vhost }: Work, { section, item }: Thing): string[] {
  const text = (field: string) => String(item[field]);
  const place = vhost ?? text('vhost');
  switch (section) {
    case 'parameters':
      return isOperatorPolicy(section, item)
        ? ['operator-policies', place, text('name')]
        : ['parameters', text('component'), place, text('name')];
    case 'policies':
      return ['policies', place, text('name')];
    case 'exchanges':
      return ['exchanges', place, text('name')];
    case 'permissions':
      return ['permissions', place, text('user')];
    case 'topic_permissions':
      // Without an exchange the broker takes the path for all of them; what should stay the next pass makes again.
      return ['topic-permissions', place, text('user'), text('exchange')].filter((part) => part !== '');
    case 'global_parameters':
      return ['global-parameters', text('name')];
    default:
      return [section, text('name')];
  }
}
