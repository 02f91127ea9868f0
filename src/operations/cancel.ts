import { ForestayError } from '../core/errors.ts';
import { isFinished } from '../core/task.ts';
import { findBackup } from '../db/backups.ts';
import { findRestore, markSettled } from '../db/restores.ts';
import { endUnclaimedTask, lockTask, markCancelRequested } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { requireInstance } from './instances.ts';

/** Ends a queued backup at once and a running one within seconds; it then is `failed` with the error `Canceled`. */
export async function cancelBackup(context: Context, guid: string, id: number): Promise<void> {
  const instance = await requireInstance(context, guid);
  const backup = await findBackup(context.db, instance.id, id);
  if (!backup) throw new ForestayError('BackupNotFound', `There is no backup ${id} of this instance.`);
  await cancelTask(context, backup.task.id);
}

/** The same for a restore. One that is switching, or has switched, ends as done. */
export async function cancelRestore(context: Context, guid: string, id: number): Promise<void> {
  const instance = await requireInstance(context, guid);
  const restore = await findRestore(context.db, instance.id, id);
  if (!restore) throw new ForestayError('RestoreNotFound', `There is no restore ${id} of this instance.`);
  await cancelTask(context, restore.task.id, restore.id);
}

async function cancelTask(context: Context, taskId: number, restoreId?: number): Promise<void> {
  await context.db.transaction().execute(async (trx) => {
    const task = (await lockTask(trx, taskId))!;
    if (isFinished(task.status)) {
      throw new ForestayError('TaskAlreadyFinished', `The ${task.kind} is ${task.status} already.`);
    }
    const at = new Date();
    await markCancelRequested(trx, task.id, at);
    if (task.status === 'running') return;
    const error = { code: 'Canceled' as const, message: 'Canceled by a user.', hint: null };
    await endUnclaimedTask(trx, task.id, { status: 'failed', error, at });
    // One that was never attempted has left nothing; after an attempt the sweep makes sure.
    if (restoreId !== undefined && task.attempt === 0) await markSettled(trx, restoreId);
  });
}
