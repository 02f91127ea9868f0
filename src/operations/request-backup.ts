import { randomUUID } from 'node:crypto';
import { formatBackupId } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import { insertBackup, newestBackupMoment } from '../db/backups.ts';
import { newestKey } from '../db/instances.ts';
import { insertTask, unfinishedTasks } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { requireLockedInstance } from './instances.ts';

/**
 * Backups of one instance that may be waiting or running at once. They run one after the other, in a queue that all instances
 * share: whoever asks without end would otherwise keep everybody else's backups and restores waiting.
 */
export const maxUnfinishedBackups = 10;

/** Asks for a backup: the row, its task and its job come into being together, or not at all. Throws `TooManyRequests`. */
export async function requestBackup(context: Context, guid: string): Promise<{ id: number }> {
  return context.db.transaction().execute(async (trx) => {
    const instance = await requireLockedInstance(trx, guid);
    const unfinished = await unfinishedTasks(trx, instance.id);
    if (unfinished.filter(({ kind }) => kind === 'backup').length >= maxUnfinishedBackups) {
      throw new ForestayError(
        'TooManyRequests',
        `${maxUnfinishedBackups} backups of this instance are queued or running.`,
        { hint: 'Wait until one has finished, or cancel one.' },
      );
    }
    // Two requests in one millisecond must not share a name.
    const newest = await newestBackupMoment(trx, instance.backupGuid);
    const triggeredAt = new Date(Math.max(Date.now(), (newest ?? 0) + 1));
    const jobId = randomUUID();
    const task = await insertTask(trx, {
      kind: 'backup',
      instanceId: instance.id,
      pool: instance.pool,
      jobId,
      triggeredAt,
    });
    const id = await insertBackup(trx, {
      taskId: task.id,
      instanceId: instance.id,
      backupId: formatBackupId(instance.backupGuid, triggeredAt),
      keyVersion: (await newestKey(trx, instance.id)).version,
    });
    await context.jobs.send(trx, { pool: task.pool, jobId, taskId: task.id });
    return { id };
  });
}
