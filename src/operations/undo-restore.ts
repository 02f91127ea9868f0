import { ForestayError } from '../core/errors.ts';
import type { Instance } from '../db/instances.ts';
import { findRestore, type Restore } from '../db/restores.ts';
import { unfinishedTasks } from '../db/tasks.ts';
import { beginUndo, endUndo, giveUpUndo, isBeingUndone } from '../db/undo.ts';
import { type Context, engineOf, openConnection } from './context.ts';
import { requireLockedInstance } from './instances.ts';

/**
 * Puts back the data that a restore replaced, and discards what was restored, with all that was written since. No task of
 * the instance starts meanwhile. The engine works outside of transactions: it may take long, and everybody else shares
 * the embedded database's one connection.
 */
export async function undoRestore(
  context: Context,
  guid: string,
  restoreId: number,
  signal: AbortSignal,
): Promise<void> {
  const { instance, restore } = await begin(context, guid, restoreId);
  try {
    const { undo } = engineOf(context, instance.engine);
    if (!undo) throw undoUnavailable();
    await undo.undo(openConnection(context, instance), restore.ticketId, signal);
  } catch (error) {
    await context.db.transaction().execute((trx) => giveUpUndo(trx, restore.id));
    throw error;
  }
  await context.db.transaction().execute((trx) => endUndo(trx, restore.id, new Date()));
}

async function begin(
  context: Context,
  guid: string,
  restoreId: number,
): Promise<{ instance: Instance; restore: Restore }> {
  return context.db.transaction().execute(async (trx) => {
    const instance = await requireLockedInstance(trx, guid);
    const restore = await findRestore(trx, instance.id, restoreId);
    if (!restore) {
      throw new ForestayError('RestoreNotFound', `There is no restore ${restoreId} of this instance.`);
    }
    if (restore.undoUntil === null) throw undoUnavailable();
    const busy = (await unfinishedTasks(trx, instance.id)).length > 0;
    if (busy || (await isBeingUndone(trx, instance.id))) {
      throw new ForestayError(
        'InstanceBusy',
        'A backup, restore or undo of this instance is queued or running.',
        {
          hint: 'Wait for it or cancel it, then undo the restore.',
        },
      );
    }
    await beginUndo(trx, restore.id, new Date());
    return { instance, restore };
  });
}

function undoUnavailable(): ForestayError {
  return new ForestayError('UndoUnavailable', 'The data that this restore replaced is not kept (any more).', {
    hint: 'It is kept for 24 hours, until the next restore, and only when the restore was staged. Restore an older backup instead.',
  });
}
