import { backupGuidOf } from '../core/backup.ts';
import { ForestayError, hasCode } from '../core/errors.ts';
import { canonicalJson, type Manifest, manifestKey } from '../core/manifest.ts';
import { findBackupById, lockBackup } from '../db/backups.ts';
import { findCopyByTask } from '../db/copies.ts';
import { findInstanceById } from '../db/instances.ts';
import { endAttempt } from '../db/task-attempts.ts';
import { encodeManifest } from '../pipeline/signature.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type Context, openKey } from './context.ts';
import { discardBackupObjects } from './discard-backup.ts';
import { putBytes } from './put-bytes.ts';
import type { RunningAttempt } from './running-attempt.ts';
import { findStoredBackup, isComplete, readManifest, storedBytes, storedDataKey } from './stored-backup.ts';

/**
 * Copies one backup to one secondary store, byte for byte as it is stored. Each chunk is checked on the way, and the manifest
 * comes last, so that a copy is as good as the backup or none. The bytes come from the first store that has them right.
 */
export async function copyBackup(context: Context, run: RunningAttempt): Promise<void> {
  const copy = (await findCopyByTask(context.db, run.task.id))!;
  const backup = (await findBackupById(context.db, copy.backupId))!;
  const instance = (await findInstanceById(context.db, backup.instanceId))!;
  const target = secondaryNamed(context, copy.store);
  const passphrase = await openKey(context, context.db, instance, backup.keyVersion);
  const { backupId } = backup;
  const stored = await findStoredBackup(
    context.stores.filter((store) => store !== target),
    { backupGuid: backupGuidOf(backupId), backupId, passphrase },
    run.signal,
  );
  const { manifest } = stored;
  if (!(await isThereAlready(target, manifest, run.signal))) {
    const note = (text: string) => context.log.warn({ backup_id: backupId, store: target.name }, text);
    for (const text of stored.notes) note(text);
    run.setPhase('transferring');
    await putData(target, manifest, storedBytes(stored, { signal: run.signal, onNote: note }), run);
    run.setPhase('verifying');
    if (!(await isComplete(target, manifest, run.signal))) throw notAsSent(target, manifest);
    await run.assertCurrent();
    const key = manifestKey(manifest.backup_guid, manifest.backup_id);
    await putBytes(target, key, encodeManifest(manifest), { signal: run.signal });
  }
  const isKept = await context.db.transaction().execute(async (trx) => {
    const locked = await lockBackup(trx, backup.instanceId, backup.id);
    const kept = locked?.task.status === 'done';
    const at = new Date();
    await endAttempt(trx, run.task, kept ? { status: 'done', at } : { status: 'failed', error: deleted, at });
    return kept;
  });
  // It was deleted meanwhile, and perhaps before there was anything to delete here.
  if (!isKept) await discardBackupObjects(context, backup, run.signal);
}

const deleted = { code: 'BackupNotFound', message: 'The backup was deleted.', hint: null } as const;

function secondaryNamed(context: Context, name: string): ObjectStore {
  const [, ...secondaries] = context.stores;
  const store = secondaries.find((each) => each.name === name);
  if (store) return store;
  throw new ForestayError('Misconfigured', `${name} is not a secondary store of this site any more.`, {
    hint: 'All processes of a site have the same FORESTAY_SECONDARY_STORES. If the store was taken out on purpose, nothing is to be done.',
  });
}

/** A whole copy from an earlier attempt, or from before the catalogue was rebuilt. */
async function isThereAlready(
  target: ObjectStore,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const there = await readManifest(target, manifest.backup_guid, manifest.backup_id, signal);
    return canonicalJson(there) === canonicalJson(manifest) && (await isComplete(target, manifest, signal));
  } catch (error) {
    if (hasCode(error, 'ObjectMissing', 'BackupDamaged', 'IncompatibleBackup')) return false;
    throw error;
  }
}

async function putData(
  target: ObjectStore,
  manifest: Manifest,
  bytes: AsyncIterable<Buffer>,
  run: RunningAttempt,
): Promise<void> {
  const counted = async function* () {
    let count = 0;
    for await (const piece of bytes) {
      count += piece.length;
      run.setBytes(count, count);
      yield piece;
    }
  };
  const { size } = await target.put(storedDataKey(manifest), counted(), { signal: run.signal });
  if (size !== manifest.data.size) throw notAsSent(target, manifest);
}

function notAsSent(target: ObjectStore, manifest: Manifest): ForestayError {
  return new ForestayError(
    'StoreUnavailable',
    `${target.name} does not hold the ${manifest.data.size} bytes that were sent.`,
    { hint: 'Try again; if it happens again, check the store.' },
  );
}
