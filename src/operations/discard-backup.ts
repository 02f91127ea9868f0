import { backupGuidOf } from '../core/backup.ts';
import { dataKey, dataName, manifestKey } from '../core/manifest.ts';
import type { Backup } from '../db/backups.ts';
import { copiesOf } from '../db/copies.ts';
import type { Context } from './context.ts';

/**
 * Removes whatever the attempts of a backup left in the stores, copies too. Only for a backup whose task has ended as failed or
 * deleted: while it has not, another attempt may yet find those objects whole and call them done. What a secondary store does not
 * let go now, the sweep removes later; throws what the primary one throws.
 */
export async function discardBackupObjects(
  context: Context,
  backup: Backup,
  signal: AbortSignal,
): Promise<void> {
  const [primary, ...secondaries] = context.stores;
  const copied = new Set((await copiesOf(context.db, backup.id)).map(({ store }) => store));
  const keys = attemptKeys(backup.backupId, Math.max(1, backup.task.attempt));
  const removing = secondaries
    .filter(({ name }) => copied.has(name))
    .map(async (store) => {
      try {
        await store.delete(keys, signal);
      } catch (error) {
        context.log.warn(
          { err: error, backup_id: backup.backupId, store: store.name },
          'a copy of a backup could not be removed yet',
        );
      }
    });
  try {
    await primary.delete(keys, signal);
  } finally {
    await Promise.all(removing);
  }
}

/** Every object that attempts 1 to `attempts` of a backup may have written, in the order in which they must go. */
export function attemptKeys(backupId: string, attempts: number): string[] {
  const guid = backupGuidOf(backupId);
  const names = Array.from({ length: attempts }, (_, index) => dataName(index + 1));
  return [manifestKey(guid, backupId), ...names.map((name) => dataKey(guid, backupId, name))];
}
