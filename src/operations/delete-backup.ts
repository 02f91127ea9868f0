import { ForestayError } from '../core/errors.ts';
import { isFinished } from '../core/task.ts';
import { type Backup, backupsInUse, lockBackup } from '../db/backups.ts';
import { endCopies } from '../db/copies.ts';
import { lockInstance } from '../db/instances.ts';
import { endUnclaimedTask } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { discardBackupObjects } from './discard-backup.ts';

/**
 * Deletes a backup: first the row says so, then manifest and data go, so that a crash in between leaves orphans for the
 * sweep rather than a backup that says done and has no bytes. Throws `BackupInUse` while a restore uses it.
 */
export async function deleteBackup(
  context: Context,
  guid: string,
  id: number,
  signal: AbortSignal,
): Promise<void> {
  const backup = await context.db.transaction().execute(async (trx) => {
    const instance = await lockInstance(trx, guid);
    const found = instance && (await lockBackup(trx, instance.id, id));
    if (!instance || !found || found.task.status === 'deleted') {
      throw new ForestayError('BackupNotFound', `There is no backup ${id} of this instance.`);
    }
    await markDeleted(trx, instance.id, found);
    return found;
  });
  await discardBackupObjects(context, backup, signal);
}

async function markDeleted(
  trx: Parameters<typeof lockBackup>[0],
  instanceId: number,
  backup: Backup,
): Promise<void> {
  if (!isFinished(backup.task.status)) {
    throw new ForestayError('BackupInUse', `Backup ${backup.id} is ${backup.task.status}.`, {
      hint: 'Cancel it, then delete it.',
    });
  }
  if ((await backupsInUse(trx, instanceId)).has(backup.id)) {
    throw new ForestayError('BackupInUse', `A restore is using backup ${backup.id}.`, {
      hint: 'Wait until the restore has finished, or cancel it.',
    });
  }
  const at = new Date();
  await endUnclaimedTask(trx, backup.task.id, { status: 'deleted', at });
  await endCopies(trx, backup.id, at);
}
