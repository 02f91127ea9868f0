import { randomUUID } from 'node:crypto';
import { ForestayError } from '../core/errors.ts';
import { lockBackup } from '../db/backups.ts';
import type { Instance } from '../db/instances.ts';
import { insertRestore } from '../db/restores.ts';
import type { Reader, WriteTransaction } from '../db/schema.ts';
import { insertTask, unfinishedTasks } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { requireLockedInstance } from './instances.ts';

/** Asks for a restore of one of the instance's own backups, with whatever key it was made. */
export async function requestRestore(
  context: Context,
  guid: string,
  backupId: number,
): Promise<{ id: number }> {
  return context.db.transaction().execute(async (trx) => {
    const instance = await requireLockedInstance(trx, guid);
    // Locked, so that a deletion of the backup either comes first or sees this restore.
    const backup = await lockBackup(trx, instance.id, backupId);
    if (!backup || backup.task.status === 'deleted') {
      throw new ForestayError('BackupNotFound', `There is no backup ${backupId} of this instance.`);
    }
    if (backup.task.status !== 'done') {
      throw new ForestayError(
        'BackupNotRestorable',
        `Backup ${backupId} is ${backup.task.status}; only one that is done can be restored.`,
      );
    }
    return insertRequestedRestore(context, trx, instance, {
      backupId: backup.id,
      sourceBackupId: backup.backupId,
      passphraseSealed: null,
      restoredFrom: backup.task.startedAt ?? backup.task.triggeredAt,
    });
  });
}

/** The row, its task and its job, in the caller's transaction, which has locked the instance. */
export async function insertRequestedRestore(
  context: Context,
  trx: WriteTransaction,
  instance: Instance,
  source: {
    backupId: number | null;
    sourceBackupId: string;
    passphraseSealed: Uint8Array | null;
    restoredFrom: Date;
    notes?: readonly string[];
  },
): Promise<{ id: number }> {
  await refuseSecondRestore(trx, instance);
  const jobId = randomUUID();
  const task = await insertTask(trx, {
    kind: 'restore',
    instanceId: instance.id,
    pool: instance.pool,
    jobId,
    triggeredAt: new Date(),
  });
  const id = await insertRestore(trx, {
    ...source,
    taskId: task.id,
    instanceId: instance.id,
    ticketId: randomUUID(),
  });
  await context.jobs.send(trx, { pool: task.pool, jobId, taskId: task.id });
  return { id };
}

/** One restore of an instance at a time. It counts only with the instance locked; before that it merely answers sooner. */
export async function refuseSecondRestore(db: Reader, instance: Instance): Promise<void> {
  const unfinished = await unfinishedTasks(db, instance.id);
  if (unfinished.some((task) => task.kind === 'restore')) {
    throw new ForestayError('RestoreInProgress', 'A restore of this instance is queued or running.', {
      hint: 'Wait until it has finished, or cancel it.',
    });
  }
}
