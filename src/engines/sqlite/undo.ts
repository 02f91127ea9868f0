import { rm } from 'node:fs/promises';
import { ForestayError } from '../../core/errors.ts';
import { endMarkedProcesses } from '../../pipeline/marked-processes.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { markOf, putBack } from './exchange.ts';
import { filesOf } from './names.ts';
import { findDatabase, findPlace } from './place.ts';
import type { Shell } from './shell.ts';

/** Copies the replaced data over the restored, in one transaction, too. */
export async function undoRestore(
  target: Target,
  ticketId: string,
  shell: Shell,
  signal: AbortSignal,
): Promise<void> {
  try {
    const place = await findDatabase(target);
    const { kept } = await filesOf(place, ticketId);
    if (kept === undefined) {
      throw new ForestayError(
        'UndoUnavailable',
        'The data that this restore replaced is not kept any more.',
        { hint: 'Restore the backup you need instead.' },
      );
    }
    await putBack(place, kept, ticketId, shell, signal);
    await rm(kept);
  } catch (error) {
    throw translateError(error, 'The restore could not be undone');
  }
}

/** Removes the replaced data, and what else a restore left. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  try {
    const place = await findPlace(target);
    await endMarkedProcesses(markOf(ticketId), signal);
    const { staged, others, kept } = await filesOf(place, ticketId);
    for (const file of [...staged, ...others]) await rm(file, { force: true });
    if (kept === undefined) return;
    for (const suffix of ['-wal', '-shm', '-journal', '']) await rm(`${kept}${suffix}`, { force: true });
  } catch (error) {
    throw translateError(error, 'The replaced data could not be discarded');
  }
}
