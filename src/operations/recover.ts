import { isGuid, parseBackupId } from '../core/backup.ts';
import { ForestayError, hasCode, toForestayError } from '../core/errors.ts';
import { seal } from '../core/sealing.ts';
import type { Instance } from '../db/instances.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type Context, engineOf, openConnection } from './context.ts';
import { requireInstance, requireLockedInstance } from './instances.ts';
import { insertRequestedRestore, refuseSecondRestore } from './request-restore.ts';
import { restorePassphraseBinding } from './run-restore.ts';
import { findStoredBackup, type StoredBackup } from './stored-backup.ts';

/**
 * Performs a disaster recovery: restores the newest whole backup under a `backup_guid` (or, given a `backup_id`, exactly
 * that one: a fork) into an instance of this site. Of the site that made it nothing is needed but what lies in the stores,
 * and nothing there is written or deleted. What can be known at once is checked before it answers.
 */
export async function requestRecovery(
  context: Context,
  guid: string,
  request: { backupGuid: string; encryptionKey: string },
  signal: AbortSignal,
): Promise<{ id: number }> {
  const instance = await requireInstance(context, guid);
  // Asked before the stores are, so that the answer does not wait for them; the transaction asks again.
  await refuseSecondRestore(context.db, instance);
  const { stored, notes } = await newestWhole(
    context.stores,
    { guidOrId: request.backupGuid.toLowerCase(), passphrase: request.encryptionKey },
    signal,
  );
  const { manifest } = stored;
  await refuseIncompatible(context, instance, stored, signal);

  return context.db.transaction().execute(async (trx) => {
    const locked = await requireLockedInstance(trx, guid);
    const binding = restorePassphraseBinding(guid, manifest.backup_id);
    return insertRequestedRestore(context, trx, locked, {
      backupId: null,
      sourceBackupId: manifest.backup_id,
      passphraseSealed: seal(context.masterKey, binding, request.encryptionKey),
      restoredFrom: new Date(manifest.started_at),
      notes,
    });
  });
}

async function refuseIncompatible(
  context: Context,
  instance: Instance,
  stored: StoredBackup,
  signal: AbortSignal,
): Promise<void> {
  const { manifest } = stored;
  if (manifest.engine !== instance.engine) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of engine ${manifest.engine}, this instance of ${instance.engine}.`,
      {
        hint: `Perform the recovery into an instance of engine ${manifest.engine}.`,
      },
    );
  }
  const source = { engineVersion: manifest.engine_version, details: manifest.engine_details };
  await engineOf(context, instance.engine).assertRestorable(
    openConnection(context, instance),
    source,
    signal,
  );
}

/** The newest backup under a GUID, or the one that a `backup_id` names, that some store holds whole; and what users should know of the search. */
async function newestWhole(
  stores: readonly ObjectStore[],
  wanted: { guidOrId: string; passphrase: string },
  signal: AbortSignal,
): Promise<{ stored: StoredBackup; notes: string[] }> {
  const { guidOrId, passphrase } = wanted;
  const fork = parseBackupId(guidOrId);
  if (!fork && !isGuid(guidOrId)) {
    throw new ForestayError('BadRequest', 'backup_guid must be a GUID, or the backup_id of one backup.');
  }
  const { backupIds, notes } = fork
    ? { backupIds: [guidOrId], notes: [] }
    : await backupIdsUnder(stores, guidOrId, signal);
  const backupGuid = fork?.backupGuid ?? guidOrId;
  let reason: unknown;
  for (const backupId of backupIds) {
    try {
      const stored = await findStoredBackup(stores, { backupGuid, backupId, passphrase }, signal);
      return { stored, notes };
    } catch (error) {
      if (signal.aborted) throw error;
      // A damaged or half-deleted backup is passed over for an older one; a store that does not answer is not.
      if (!hasCode(error, 'BackupDamaged', 'BackupNotFound', 'ObjectMissing', 'IncompatibleBackup'))
        throw error;
      reason ??= error;
      notes.push(`The newer backup ${backupId} was passed over: ${error.message}`);
    }
  }
  if (reason && !hasCode(reason, 'BackupNotFound')) throw reason;
  throw new ForestayError('BackupNotFound', `No store of this site holds a whole backup under ${guidOrId}.`, {
    hint: 'Check the backup_guid that prepare answered, and that this site uses the store the backups were written to.',
  });
}

/** The ids of all backups with a manifest under a GUID, in any store, newest first. One store that answers with some is enough. */
async function backupIdsUnder(
  stores: readonly ObjectStore[],
  backupGuid: string,
  signal: AbortSignal,
): Promise<{ backupIds: string[]; notes: string[] }> {
  const found = new Map<string, number>();
  const notes: string[] = [];
  let reason: unknown;
  for (const store of stores) {
    try {
      for await (const { key } of store.list(`${backupGuid}/`, signal)) {
        const [, backupId = '', file] = key.split('/');
        const parsed = parseBackupId(backupId);
        if (file === 'manifest.json' && parsed) found.set(backupId, parsed.at.getTime());
      }
    } catch (error) {
      if (signal.aborted) throw error;
      reason ??= error;
      notes.push(
        `${store.name} could not be looked through, and may hold a newer backup: ${toForestayError(error).message}`,
      );
    }
  }
  if (found.size === 0 && reason) throw reason;
  return { backupIds: [...found].sort(([, a], [, b]) => b - a).map(([backupId]) => backupId), notes };
}
