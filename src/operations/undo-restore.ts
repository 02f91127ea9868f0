import { ForestayError } from '../core/errors.ts';
import { endUndo, findRestore } from '../db/restores.ts';
import { unfinishedTasks } from '../db/tasks.ts';
import { type Context, engineOf, openConnection } from './context.ts';
import { requireInstance, requireLockedInstance } from './instances.ts';

/**
 * Puts back the data that a restore replaced, and discards what was restored, with all that was written since. The
 * instance stays locked meanwhile, so that no task of it starts.
 */
export async function undoRestore(
  context: Context,
  guid: string,
  restoreId: number,
  signal: AbortSignal,
): Promise<void> {
  const instance = await requireInstance(context, guid);
  if (!(await findRestore(context.db, instance.id, restoreId))) {
    throw new ForestayError('RestoreNotFound', `There is no restore ${restoreId} of this instance.`);
  }
  const { undo } = engineOf(context, instance.engine);
  await context.db.transaction().execute(async (trx) => {
    await requireLockedInstance(trx, guid);
    const restore = (await findRestore(trx, instance.id, restoreId))!;
    if (!undo || restore.undoUntil === null) {
      throw new ForestayError(
        'UndoUnavailable',
        'The data that this restore replaced is not kept (any more).',
        {
          hint: 'It is kept for 24 hours, until the next restore, and only when the restore was staged. Restore an older backup instead.',
        },
      );
    }
    if ((await unfinishedTasks(trx, instance.id)).length > 0) {
      throw new ForestayError('InstanceBusy', 'A backup or restore of this instance is queued or running.', {
        hint: 'Wait for it or cancel it, then undo the restore.',
      });
    }
    await undo.undo(openConnection(context, instance), restore.ticketId, signal);
    await endUndo(trx, restore.id, new Date());
  });
}
