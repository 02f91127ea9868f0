import { backupGuidOf } from '../core/backup.ts';
import { ForestayError, hasCode } from '../core/errors.ts';
import { unseal } from '../core/sealing.ts';
import { findBackup } from '../db/backups.ts';
import { findInstanceById, type Instance } from '../db/instances.ts';
import { describeRestore, findRestoreByTask, markSettled, type Restore } from '../db/restores.ts';
import { endAttempt } from '../db/task-attempts.ts';
import type { Task } from '../db/tasks.ts';
import type { RestoreReport as EngineReport } from '../engines/engine.ts';
import { openData } from '../pipeline/open.ts';
import { type Context, engineOf, openConnection, openKey, undoHours } from './context.ts';
import { discardReplacedData } from './discard-replaced.ts';
import type { RunningAttempt } from './running-attempt.ts';
import { findStoredBackup, type StoredBackup, storedBytes } from './stored-backup.ts';

/** What the engine tells of a restore, and what was noticed while the backup was looked for and read. */
type RestoreReport = EngineReport & { readonly notes?: readonly string[] };

/**
 * Runs one restore, of an own backup or one of another site. Promise 2: every byte is checked before the engine gets it,
 * and the engine makes nothing visible before the last one was. Promise 3: a restore that fails leaves the instance as it was.
 */
export async function runRestore(context: Context, run: RunningAttempt): Promise<void> {
  const { restore, instance } = await subjectOf(context, run.task);
  const report =
    (run.task.attempt > 1 && (await switchedEarlier(context, instance, restore, run.signal))) ||
    (await stageAndSwitch(context, instance, restore, run));
  // From here on the instance has its new data, so nothing may turn the task into a failure any more, a cancel included.
  await finishRestore(context, run.task, restore, report);
  await discardReplacedData(context, instance, { exceptRestoreId: restore.id });
}

/**
 * After an attempt failed: makes sure that nothing of it is left. Resolves with `done` when it turns out that the change
 * had become visible all the same (the connection was lost just then): in that case the restore is done, and says so.
 */
export async function settleFailedRestore(
  context: Context,
  task: Task,
  signal: AbortSignal,
): Promise<'done' | 'clean'> {
  const { restore, instance } = await subjectOf(context, task);
  const report = await switchedEarlier(context, instance, restore, signal);
  if (!report) return 'clean';
  await finishRestore(context, task, restore, report);
  return 'done';
}

async function subjectOf(context: Context, task: Task): Promise<{ restore: Restore; instance: Instance }> {
  const restore = (await findRestoreByTask(context.db, task.id))!;
  return { restore, instance: (await findInstanceById(context.db, restore.instanceId))! };
}

async function finishRestore(
  context: Context,
  task: Task,
  restore: Restore,
  report: RestoreReport,
): Promise<void> {
  await context.db.transaction().execute(async (trx) => {
    const at = new Date();
    await endAttempt(trx, task, { status: 'done', at });
    await describeRestore(trx, restore.id, { ...report, undoUntil: undoLimit(report, at) });
    await markSettled(trx, restore.id);
  });
}

export function undoLimit(report: RestoreReport, at: Date): Date | null {
  return report.undoable ? new Date(at.getTime() + undoHours * 60 * 60 * 1000) : null;
}

/**
 * Ends earlier attempts, whose worker may be dead, frozen or wrong about its failure. One may have made the switch: then
 * this is the report of it.
 */
export async function switchedEarlier(
  context: Context,
  instance: Instance,
  restore: Restore,
  signal: AbortSignal,
): Promise<RestoreReport | undefined> {
  const engine = engineOf(context, instance.engine);
  const found = await engine.settleRestore(openConnection(context, instance), restore.ticketId, signal);
  if (found === 'clean') return undefined;
  return {
    method: engine.restoresInPlace ? 'in place' : 'staged',
    switchMs: null,
    undoable: engine.undo !== undefined,
    notKept: [
      'What could not be kept is not known: the process that made the switch ended before it could say so.',
    ],
  };
}

async function stageAndSwitch(
  context: Context,
  instance: Instance,
  restore: Restore,
  run: RunningAttempt,
): Promise<RestoreReport> {
  const engine = engineOf(context, instance.engine);
  const connection = openConnection(context, instance);
  const stored = await findOwnBackup(context, instance, restore, run.signal);
  const { manifest } = stored;
  if (manifest.engine !== engine.name) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of engine ${manifest.engine}, the instance of ${engine.name}.`,
    );
  }
  const notes = [...(restore.notes ?? []), ...stored.notes];
  const bytes = openData({
    chunks: storedBytes(stored, { signal: run.signal, onNote: (note) => notes.push(note) }),
    manifest,
    keys: stored.keys,
    signal: run.signal,
    onProgress: ({ bytesIn, bytesOut }) => run.setBytes(bytesOut, bytesIn),
  });
  // An engine that fails before it reads listens to no error of a stream that ends after it.
  bytes.on('error', () => {});
  run.setPhase('transferring');
  try {
    const report = await engine.restore(
      connection,
      bytes,
      {
        id: restore.ticketId,
        attempt: run.task.attempt,
        source: { engineVersion: manifest.engine_version, details: manifest.engine_details },
        beforeSwitch: () => run.assertCurrent(),
        onPhase: (phase) => run.setPhase(phase),
      },
      run.signal,
    );
    return { ...report, notes };
  } finally {
    bytes.destroy();
  }
}

async function passphraseOf(context: Context, instance: Instance, restore: Restore): Promise<string> {
  if (restore.passphraseSealed) {
    return unseal(
      context.masterKey,
      restorePassphraseBinding(instance.guid, restore.sourceBackupId),
      restore.passphraseSealed,
    );
  }
  const backup =
    restore.backupId === null ? undefined : await findBackup(context.db, instance.id, restore.backupId);
  if (!backup) throw new ForestayError('BackupNotFound', `Backup ${restore.backupId} is gone.`);
  return openKey(context, context.db, instance, backup.keyVersion);
}

/** What the sealed passphrase of a restore from another site is bound to. */
export function restorePassphraseBinding(instanceGuid: string, sourceBackupId: string): string {
  return `restore:${instanceGuid}:${sourceBackupId}`;
}

/** The passphrase was right when the restore was asked for, so a mismatch now means that the manifest is not. */
async function findOwnBackup(
  context: Context,
  instance: Instance,
  restore: Restore,
  signal: AbortSignal,
): Promise<StoredBackup> {
  const { sourceBackupId: backupId } = restore;
  const passphrase = await passphraseOf(context, instance, restore);
  try {
    const wanted = { backupGuid: backupGuidOf(backupId), backupId, passphrase };
    return await findStoredBackup(context.stores, wanted, signal);
  } catch (error) {
    if (!hasCode(error, 'EncryptionKeyMismatch')) throw error;
    throw new ForestayError(
      'BackupDamaged',
      'The manifest of the backup was changed: its signature is not right.',
      { hint: 'Use another backup.', cause: error },
    );
  }
}
