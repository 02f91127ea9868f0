import { forEach, isAddressable } from './api.ts';
import { isLimits, isOperatorPolicy, itemsOf, type Section } from './definitions.ts';
import { importAll } from './import.ts';
import { canonical, type Json } from './json.ts';
import type { Changes, Thing } from './plan.ts';
import { removeBindings, removeByPath, removeQueues, removeUserLimits, spareVhostsInUse } from './remove.ts';
import { isLeft, queueOf, type Work } from './work.ts';

/**
 * Makes the changes, once: what is new first, so that no message loses its way, and what is too much at the end. Nothing
 * that holds messages is deleted: it goes to `work.left`.
 */
export async function applyChanges(work: Work, changes: Changes): Promise<void> {
  const open = (things: readonly Thing[]) => things.filter((thing) => !isLeft(work, thing));
  const wanted = open([...changes.added, ...changes.changed]);
  const removed = open(changes.removed);
  const vhosts = vhostsOf(work, [...wanted, ...removed]);

  await importAll(work, of('vhosts', wanted));
  await grantEverything(work, vhosts);
  await liftLimits(work, wanted);
  const remade = open(changes.changed).filter(({ section }) => remadeSections.has(section));
  await removeQueues(work, of('queues', remade), 'exists with other properties');
  await removeByPath(work, of('exchanges', remade));
  await importWanted(work, open(wanted), remade);

  await spareVhostsInUse(work, removed);
  await removeQueues(work, of('queues', open(removed)), 'is not in the backup');
  // What is in a vhost that goes goes with it.
  const doomed = new Set(of('vhosts', removed).map(({ item }) => String(item.name)));
  const here = open(removed).filter(({ item }) => !doomed.has(String(item.vhost)));
  await removeBindings(work, of('bindings', here));
  for (const section of removableSections) await removeByPath(work, of(section, here));
  await spareVhostsInUse(work, removed);
  await removeByPath(work, of('vhosts', open(removed)));
  await removeByPath(work, of('users', removed));
  await removeUserLimits(work, of('users', changesOf(changes, 'limits')));
  await importAll(work, limitsIn(work, vhosts));
}

function changesOf({ changed }: Changes, field: string): Thing[] {
  return changed.filter(({ differs }) => differs.includes(field));
}

/** Of these nothing can be changed: they are deleted and made anew. */
const remadeSections: ReadonlySet<Section> = new Set(['queues', 'exchanges']);

const removableSections = [
  'exchanges',
  'policies',
  'parameters',
  'topic_permissions',
  'permissions',
  'global_parameters',
] as const;

function of(section: Section, things: readonly Thing[]): Thing[] {
  return things.filter((thing) => thing.section === section);
}

async function importWanted(work: Work, wanted: readonly Thing[], remade: readonly Thing[]): Promise<void> {
  for (const section of ['users', 'permissions', 'topic_permissions', 'policies'] as const)
    await importAll(work, of(section, wanted));
  const parameters = of('parameters', wanted).filter(({ section, item }) => !isLimits(section, item));
  const isPolicy = ({ section, item }: Thing) => isOperatorPolicy(section, item);
  await importAll(work, parameters.filter(isPolicy));
  await importAll(work, of('exchanges', wanted));
  await importAll(work, of('queues', wanted));
  await importAll(work, [...of('bindings', wanted), ...bindingsOf(work, remade)]);
  // Shovels and links of federation begin to work as soon as they are there, and what they work with must be.
  await importAll(
    work,
    parameters.filter((thing) => !isPolicy(thing)),
  );
  await importAll(work, of('global_parameters', wanted));
}

/** Deleting queues, exchanges and bindings takes rights in the vhost, which administrators need not have. */
async function grantEverything(work: Work, vhosts: readonly string[]): Promise<void> {
  const all = { user: work.user, configure: '.*', write: '.*', read: '.*' };
  await importAll(
    { ...work, vhost: undefined },
    vhosts.map((vhost) => ({ section: 'permissions', key: '', item: { ...all, vhost } })),
  );
}

function vhostsOf({ vhost }: Work, things: readonly Thing[]): string[] {
  if (vhost !== undefined) return [vhost];
  const names = new Set(things.map(({ item }) => item.vhost));
  return [...names].filter((name): name is string => typeof name === 'string');
}

/** A limit of queues in a vhost would refuse those that are made before others are deleted. */
async function liftLimits(work: Work, wanted: readonly Thing[]): Promise<void> {
  const vhosts = new Set(of('queues', wanted).map((thing) => queueOf(work, thing).vhost));
  await forEach(vhosts, async (vhost) => {
    if (isAddressable(vhost)) await work.api.delete(['parameters', 'vhost-limits', vhost, 'limits']);
  });
}

function limitsIn({ wanted, vhost }: Work, vhosts: readonly string[]): Thing[] {
  return [...itemsOf(wanted, 'parameters')]
    .filter(([, item]) => isLimits('parameters', item) && vhosts.includes(vhost ?? String(item.vhost)))
    .map(([key, item]) => ({ section: 'parameters', key, item }));
}

/** Those of a queue or exchange go with it. */
function bindingsOf({ wanted }: Work, remade: readonly Thing[]): Thing[] {
  if (remade.length === 0) return [];
  const idOf = (...parts: (Json | undefined)[]) => canonical(parts.map((part) => part ?? null));
  const ends = new Set(remade.map(({ section, item }) => idOf(section, item.vhost, item.name)));
  return [...itemsOf(wanted, 'bindings')]
    .filter(
      ([, item]) =>
        ends.has(idOf('exchanges', item.vhost, item.source)) ||
        ends.has(idOf(`${String(item.destination_type)}s`, item.vhost, item.destination)),
    )
    .map(([key, item]) => ({ section: 'bindings', key, item }));
}
