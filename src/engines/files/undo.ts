import { discardFolder, putFolderBack } from '../folder-restore.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { findPlace } from './place.ts';
import type { Programs } from './tools.ts';

/** Puts the replaced folder back under its name and removes the restored one. */
export async function undoRestore(
  target: Target,
  ticketId: string,
  tools: Programs,
  signal: AbortSignal,
): Promise<void> {
  try {
    await putFolderBack(await findPlace(target), ticketId, tools.perl, signal);
  } catch (error) {
    throw translateError(error, 'The restore could not be undone');
  }
}

/** Removes the replaced folder, and what else a restore left. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  try {
    await discardFolder(await findPlace(target), ticketId, signal);
  } catch (error) {
    throw translateError(error, 'The replaced data could not be discarded');
  }
}
