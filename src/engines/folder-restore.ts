import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { ForestayError } from '../core/errors.ts';
import { abortError } from '../pipeline/abort.ts';
import { runTool } from '../pipeline/child-process.ts';
import type { RestoreTicket } from './engine.ts';
import { createContainer, exists, markStaged, repair, syncFolder, whatIsHeld } from './folder-container.ts';
import { containerPrefix, dataIn, keptContainer, stagingContainer } from './folder-names.ts';
import { removeTree, takeAway } from './folder-removal.ts';
import { swap } from './folder-swap.ts';
import type { Place } from './roots.ts';

/**
 * For engines whose instances are folders: a restore builds a new folder beside the instance's and exchanges the two; what
 * was replaced is kept for an undo. Every step may be interrupted, and the step after it finds out how far it got. Throws
 * errors of the file system as they are, and `AttemptSuperseded` when another attempt has taken over.
 */

export interface FolderRestore {
  readonly place: Place;
  readonly ticket: RestoreTicket;
  /** The program, which exchanges two names in one step; without it there are two steps. */
  readonly perl: string;
  readonly signal: AbortSignal;
}

export interface FolderBuild<Filled> {
  /** Puts all of the backup into a new, empty folder. */
  fill(folder: string): Promise<Filled>;
  /** Throws where the folder is not what the backup says. */
  check?(folder: string, filled: Filled): Promise<void>;
}

/**
 * Builds a new folder and makes it the instance's. Resolves with what `fill` did; with undefined where something failed
 * after the exchange, which is then done all the same.
 */
export async function replaceFolder<Filled>(
  { place, ticket, perl, signal }: FolderRestore,
  { fill, check }: FolderBuild<Filled>,
): Promise<Filled | undefined> {
  const container = stagingContainer(place, ticket.id, ticket.attempt);
  await createContainer(container);
  try {
    const folder = dataIn(container);
    ticket.onPhase('transferring');
    const filled = await fill(folder);
    ticket.onPhase('verifying');
    await check?.(folder, filled);
    // Whatever happens to the machine after the switch, what became visible is on the disk.
    await runTool('sync', ['--file-system', container], { signal });
    await markStaged(container);
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    if (signal.aborted) throw abortError(signal);
    await swap(container, place, perl);
    await rename(container, keptContainer(place, ticket.id));
    await syncFolder(place.parent);
    return filled;
  } catch (error) {
    // What cannot be cleaned up now `settleFolder` finds by its name.
    const left = await settleContainer(container, place, ticket.id, AbortSignal.timeout(cleanUpMs)).catch(
      () => 'clean',
    );
    if (left !== 'switched') throw error;
    return undefined;
  }
}

/** Cleaning up goes on after an abort, but not for ever. */
const cleanUpMs = 30_000;

/**
 * `Engine.settleRestore`: takes the containers of all attempts away, then looks at what they hold. An attempt that was frozen
 * just before it exchanged the folders finds that what it wanted to exchange has no name any more.
 */
export async function settleFolder(
  place: Place,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  const kept = keptContainer(place, ticketId);
  for (const container of await containersOf(place, ticketId)) {
    if (container !== kept) await settleContainer(container, place, ticketId, signal);
  }
  await repair(kept, place.path);
  if ((await whatIsHeld(kept)) === 'replaced') return 'switched';
  await removeTree(kept, signal);
  return 'clean';
}

/** `RestoreUndo.undo`: puts the replaced folder back under its name and removes the restored one. */
export async function putFolderBack(
  place: Place,
  ticketId: string,
  perl: string,
  signal: AbortSignal,
): Promise<void> {
  const kept = keptContainer(place, ticketId);
  await repair(kept, place.path);
  const held = await whatIsHeld(kept);
  if (held === 'nothing' && !(await exists(kept))) {
    throw new ForestayError('UndoUnavailable', 'The data that this restore replaced is not kept any more.', {
      hint: 'Restore the backup you need instead.',
    });
  }
  // When it holds what was restored, an earlier undo got as far as the exchange.
  if (held === 'replaced') await swap(kept, place, perl);
  const gone = await takeAway(kept, place, ticketId);
  if (gone !== undefined) await removeTree(gone, signal);
}

/** `RestoreUndo.discard`: removes the replaced folder, and what else a restore left. */
export async function discardFolder(place: Place, ticketId: string, signal: AbortSignal): Promise<void> {
  for (const container of await containersOf(place, ticketId)) {
    await repair(container, place.path);
    const gone = await takeAway(container, place, ticketId);
    if (gone !== undefined) await removeTree(gone, signal);
  }
}

/** One attempt's: kept when it had made the switch, removed otherwise. */
async function settleContainer(
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

async function containersOf(place: Place, ticketId: string): Promise<string[]> {
  const names = await readdir(place.parent);
  return names
    .filter((name) => name.startsWith(containerPrefix(ticketId)))
    .map((name) => join(place.parent, name));
}
