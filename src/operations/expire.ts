import { applyRetention } from '../core/retention.ts';
import { type Backup, backupsInUse, listBackups } from '../db/backups.ts';
import { endCopies } from '../db/copies.ts';
import { listInstances, lockInstance } from '../db/instances.ts';
import { endUnclaimedTask } from '../db/tasks.ts';
import type { Context } from './context.ts';
import { discardBackupObjects } from './discard-backup.ts';

/** Deletes what the retention rule lets go, oldest first, in all instances that are in care. A deleted instance keeps its backups. */
export async function expire(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  for (const { guid } of await listInstances(context.db)) {
    signal.throwIfAborted();
    for (const { row, reason } of await deleteExpired(context, guid, now)) {
      context.log.info({ instance_id: guid, backup: row.id, reason }, 'backup expired');
      await discardObjects(context, row, signal);
    }
  }
}

/**
 * Asks the rule and does what it says in one transaction with the instance locked: a restore that is asked for, or a
 * deletion of the newest backup by somebody else, comes before or after, never in between.
 */
async function deleteExpired(
  context: Context,
  guid: string,
  now: Date,
): Promise<{ row: Backup; reason: string }[]> {
  return context.db.transaction().execute(async (trx) => {
    const instance = await lockInstance(trx, guid);
    if (instance?.state !== 'provisioned') return [];
    const inUse = await backupsInUse(trx, instance.id);
    const good = (await listBackups(trx, instance.id))
      .filter((backup) => backup.task.status === 'done')
      .map((row) => ({
        id: row.id,
        finishedAt: row.task.statusChangedAt,
        inUse: inUse.has(row.id),
        row,
      }));
    const verdicts = applyRetention(good, context.retention, now).filter(({ action }) => action === 'remove');
    for (const { backup } of verdicts) {
      const at = new Date();
      await endUnclaimedTask(trx, backup.row.task.id, { status: 'deleted', at });
      await endCopies(trx, backup.row.id, at);
    }
    return verdicts.map(({ backup, reason }) => ({ row: backup.row, reason })).reverse();
  });
}

async function discardObjects(context: Context, backup: Backup, signal: AbortSignal): Promise<void> {
  try {
    await discardBackupObjects(context, backup, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    // The row says deleted, so the sweep comes back to them; the other backups need not wait for that.
    context.log.warn(
      { err: error, backup_id: backup.backupId },
      'what an expired backup left in the store could not be removed yet',
    );
  }
}
