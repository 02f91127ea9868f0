import { backupGuidOf } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import { findBackup } from '../db/backups.ts';
import type { RestorePlan } from '../engines/engine.ts';
import { openData } from '../pipeline/open.ts';
import { type Context, engineOf, openConnection, openKey } from './context.ts';
import { requireInstance } from './instances.ts';
import { findStoredBackup, storedBytes } from './stored-backup.ts';

/**
 * What a restore of one of the instance's own backups would add, change and remove. Changes nothing; the backup is read and
 * checked as it is for a restore. Throws `PlanUnavailable` for engines that cannot tell.
 */
export async function planRestore(
  context: Context,
  guid: string,
  backupId: number,
  signal: AbortSignal,
): Promise<RestorePlan> {
  const instance = await requireInstance(context, guid);
  const backup = await findBackup(context.db, instance.id, backupId);
  if (!backup || backup.task.status === 'deleted') {
    throw new ForestayError('BackupNotFound', `There is no backup ${backupId} of this instance.`);
  }
  if (backup.task.status !== 'done') {
    throw new ForestayError(
      'BackupNotRestorable',
      `Backup ${backupId} is ${backup.task.status}; only one that is done can be restored.`,
    );
  }
  const engine = engineOf(context, instance.engine);
  if (!engine.planRestore) {
    throw new ForestayError('PlanUnavailable', `A restore of ${engine.name} replaces everything.`, {
      hint: 'There is no list of what it would change. GET /v1/engines says which engines have one.',
    });
  }
  const connection = openConnection(context, instance);
  const passphrase = await openKey(context, context.db, instance, backup.keyVersion);
  const wanted = { backupGuid: backupGuidOf(backup.backupId), backupId: backup.backupId, passphrase };
  const stored = await findStoredBackup(context.stores, wanted, signal);
  const { manifest, keys } = stored;
  if (manifest.engine !== engine.name) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of engine ${manifest.engine}, the instance of ${engine.name}.`,
    );
  }
  const bytes = openData({ chunks: storedBytes(stored, { signal }), manifest, keys, signal });
  // An engine that fails before it reads listens to no error of a stream that ends after it.
  bytes.on('error', () => {});
  try {
    const source = { engineVersion: manifest.engine_version, details: manifest.engine_details };
    return await engine.planRestore(connection, bytes, source, signal);
  } finally {
    bytes.destroy();
  }
}
