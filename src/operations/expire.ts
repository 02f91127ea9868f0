import { hasCode } from '../core/errors.ts';
import { applyRetention } from '../core/retention.ts';
import { backupsInUse, listBackups } from '../db/backups.ts';
import { type Instance, listInstances } from '../db/instances.ts';
import type { Context } from './context.ts';
import { deleteBackup } from './delete-backup.ts';

/** Deletes what the retention rule lets go, oldest first, in all instances that are in care. A deleted instance keeps its backups. */
export async function expire(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  for (const instance of await listInstances(context.db)) {
    if (instance.state === 'provisioned') await expireInstance(context, instance, now, signal);
  }
}

async function expireInstance(
  context: Context,
  instance: Instance,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  const inUse = await backupsInUse(context.db, instance.id);
  const good = (await listBackups(context.db, instance.id))
    .filter((backup) => backup.task.status === 'done')
    .map((backup) => ({
      id: backup.id,
      finishedAt: backup.task.statusChangedAt,
      inUse: inUse.has(backup.id),
    }));
  for (const { backup, action, reason } of applyRetention(good, context.retention, now).reverse()) {
    if (action === 'keep') continue;
    signal.throwIfAborted();
    try {
      await deleteBackup(context, instance.guid, backup.id, signal);
      context.log.info({ instance_id: instance.guid, backup: backup.id, reason }, 'backup expired');
    } catch (error) {
      // A restore has begun to use it meanwhile, or somebody else deleted it.
      if (!hasCode(error, 'BackupInUse', 'BackupNotFound')) throw error;
    }
  }
}
