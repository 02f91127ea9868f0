import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Place } from '../roots.ts';
import type { Target } from './connection.ts';
import { repair, syncFolder, whatIsHeld } from './container.ts';
import { translateError } from './errors.ts';
import { containerPrefix, keptContainer } from './names.ts';
import { findPlace } from './place.ts';
import { removeTree, takeAway } from './remove.ts';

/**
 * Takes the containers of all attempts away, then looks at what they hold. An attempt that was frozen just before it
 * exchanged the folders finds that what it wanted to exchange has no name any more.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  try {
    const place = await findPlace(target);
    const kept = keptContainer(place, ticketId);
    for (const container of await containersOf(place, ticketId)) {
      if (container !== kept) await settleContainer(container, place, ticketId, signal);
    }
    await repair(kept, place.path);
    if ((await whatIsHeld(kept)) === 'replaced') return 'switched';
    await removeTree(kept, signal);
    return 'clean';
  } catch (error) {
    throw translateError(error, 'An interrupted restore could not be cleaned up');
  }
}

/** One attempt's: kept when it had made the switch, removed otherwise. */
export async function settleContainer(
  container: string,
  place: Place,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  const gone = await takeAway(container, place, ticketId);
  if (gone === undefined) return 'clean';
  await repair(gone, place.path);
  if ((await whatIsHeld(gone)) !== 'replaced') {
    await removeTree(gone, signal);
    return 'clean';
  }
  await rename(gone, keptContainer(place, ticketId));
  await syncFolder(place.parent);
  return 'switched';
}

export async function containersOf(place: Place, ticketId: string): Promise<string[]> {
  const names = await readdir(place.parent);
  return names
    .filter((name) => name.startsWith(containerPrefix(ticketId)))
    .map((name) => join(place.parent, name));
}
