import { ForestayError } from '../../core/errors.ts';
import type { Api } from './api.ts';
import { applyChanges } from './apply.ts';
import type { Definitions } from './definitions.ts';
import { textOf } from './describe.ts';
import { mayExpire } from './expiring.ts';
import { type Changes, planChanges, type Thing } from './plan.ts';
import { readDefinitions } from './read.ts';
import { isLeft, type Work } from './work.ts';

/** One thing that goes can take others with it, and clients may declare something meanwhile: then there is more to do. */
const passes = 5;

/**
 * Makes the broker's definitions those that are wanted, and looks whether they are. Resolves with what stays different, a
 * sentence each. Throws `ToolFailed` when the broker says that it did what it did not do.
 */
export async function converge(options: {
  readonly api: Api;
  /** Whom `api` works as. */
  readonly user: string;
  /** The user that Forestay connects as otherwise. */
  readonly self: string;
  readonly vhost: string | undefined;
  readonly wanted: Definitions;
  readonly signal: AbortSignal;
}): Promise<string[]> {
  const { api, self, vhost, wanted } = options;
  const work: Work = { ...options, left: new Map() };
  for (let pass = 1; ; pass++) {
    const current = await readDefinitions(api, vhost);
    const changes = planChanges({ current, wanted }, self);
    const open = [...changes.added, ...changes.changed, ...changes.removed].filter(
      (thing) => !isLeft(work, thing),
    );
    if (open.length === 0) return [...changes.notKept, ...sentences(work)];
    if (pass > passes) return giveUp(work, changes);
    await applyChanges(work, changes);
  }
}

/**
 * What is missing in spite of everything is a failure, unless it is of a kind that goes by itself; what is different or too much
 * is told.
 */
function giveUp(work: Work, { added, changed, removed, notKept }: Changes): string[] {
  const expired = added.filter((thing) => mayExpire(work.wanted, thing));
  const missing = added.find((thing) => !expired.includes(thing));
  if (missing) {
    throw new ForestayError(
      'ToolFailed',
      `The broker took ${textOf(missing.section, missing.item, work.vhost)} without an error, but does not have it.`,
      {
        hint: 'Look into the log of the broker, and whether something else deletes definitions; then try again.',
      },
    );
  }
  const open = (thing: Thing) => !isLeft(work, thing);
  const text = ({ section, item }: Thing) => textOf(section, item, work.vhost);
  return [
    ...notKept,
    ...sentences(work),
    ...expired.map((thing) => `Nobody uses it, so the broker has removed it again: ${text(thing)}.`),
    ...changed
      .filter(open)
      .map((change) => `Different in the broker: ${text(change)} (${change.differs.join(', ')}).`),
    ...removed.filter(open).map((thing) => `Something makes it again: ${text(thing)}.`),
  ];
}

function sentences({ left }: Work): string[] {
  return [...left.values()].filter((sentence) => sentence !== '');
}
