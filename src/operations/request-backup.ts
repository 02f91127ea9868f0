import { randomUUID } from 'node:crypto';
import { formatBackupId } from '../core/backup.ts';
import { insertBackup, newestBackupMoment } from '../db/backups.ts';
import { newestKey } from '../db/instances.ts';
import { insertTask } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { requireLockedInstance } from './instances.ts';

/** Asks for a backup: the row, its task and its job come into being together, or not at all. */
export async function requestBackup(context: Context, guid: string): Promise<{ id: number }> {
  return context.db.transaction().execute(async (trx) => {
    const instance = await requireLockedInstance(trx, guid);
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
