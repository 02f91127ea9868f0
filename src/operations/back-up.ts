import type { Readable } from 'node:stream';
import { backupGuidOf } from '../core/backup.ts';
import { ForestayError, hasCode } from '../core/errors.ts';
import { dataKey, dataName, type Manifest, manifestKey } from '../core/manifest.ts';
import { keyBinding, seal } from '../core/sealing.ts';
import { type Backup, describeBackup, findBackupByTask } from '../db/backups.ts';
import { findInstanceById, findKey, type Instance } from '../db/instances.ts';
import { endAttempt } from '../db/task-attempts.ts';
import type { Task } from '../db/tasks.ts';
import type { BackupSource } from '../engines/engine.ts';
import { type FreshKeys, freshKeys } from '../pipeline/fresh-keys.ts';
import { sealData } from '../pipeline/seal.ts';
import { encodeManifest, signManifest, verifyManifest } from '../pipeline/signature.ts';
import { type Context, engineOf, openConnection, openKey } from './context.ts';
import { attemptKeys } from './discard-backup.ts';
import { putBytes } from './put-bytes.ts';
import { requestCopies } from './request-copies.ts';
import type { RunningAttempt } from './running-attempt.ts';
import { isComplete, readManifest } from './stored-backup.ts';

/**
 * Takes one backup. Promise 1, done means restorable: the engine's stream ends cleanly only if the source finished, the
 * object is in the store with the size that went in, the manifest is written last, and only then the task is done.
 */
export async function backUp(context: Context, run: RunningAttempt): Promise<void> {
  const backup = (await findBackupByTask(context.db, run.task.id))!;
  const instance = (await findInstanceById(context.db, backup.instanceId))!;
  const passphrase = await openKey(context, context.db, instance, backup.keyVersion);
  const finished = await finishedEarlier(context, backup, passphrase, run);
  const manifest = finished ?? (await takeAndStore(context, run, { backup, instance, passphrase }));
  await context.db.transaction().execute(async (trx) => {
    await endAttempt(trx, run.task, { status: 'done', at: new Date(manifest.finished_at) });
    await describeBackup(trx, backup.id, {
      size: manifest.data.size,
      plaintextSize: manifest.plaintext.size,
      sha256: manifest.data.sha256,
      engineVersion: manifest.engine_version,
      dataName: manifest.data.name,
      suffix: manifest.suffix,
    });
    await requestCopies(context, trx, backup);
  });
}

/**
 * What an earlier attempt left: a whole backup whose worker died before it could say so (then it is done: promise 4, no
 * lost done), or pieces, which go.
 */
async function finishedEarlier(
  context: Context,
  backup: Backup,
  passphrase: string,
  run: RunningAttempt,
): Promise<Manifest | undefined> {
  if (run.task.attempt === 1) return undefined;
  const [store] = context.stores;
  const guid = backupGuidOf(backup.backupId);
  try {
    const manifest = await readManifest(store, guid, backup.backupId, run.signal);
    await verifyManifest(manifest, passphrase);
    if (await isComplete(store, manifest, run.signal)) return manifest;
  } catch (error) {
    // Only what says that there is no good backup leads to a new one; a store that is away does not.
    if (!(error instanceof ForestayError) || error.retryable || run.signal.aborted) throw error;
  }
  await store.delete(attemptKeys(backup.backupId, run.task.attempt - 1), run.signal);
  return undefined;
}

interface Subject {
  readonly backup: Backup;
  readonly instance: Instance;
  readonly passphrase: string;
}

async function takeAndStore(context: Context, run: RunningAttempt, subject: Subject): Promise<Manifest> {
  const { backup, instance } = subject;
  const [store] = context.stores;
  const key = dataKey(instance.backupGuid, backup.backupId, dataName(run.task.attempt));
  const connection = openConnection(context, instance);
  const fresh = freshKeys(subject.passphrase);
  const source = await engineOf(context, instance.engine).backUp(connection, run.signal);
  const sealed = await sealSource(source, fresh, run);
  run.setPhase('transferring');
  const written = await store.put(key, sealed.stored as Readable & AsyncIterable<Uint8Array>, {
    signal: run.signal,
  });

  run.setPhase('verifying');
  const facts = sealed.facts();
  const found = await store.head(key, run.signal);
  if (written.size !== facts.data.size || found?.size !== facts.data.size) {
    throw new ForestayError(
      'StoreUnavailable',
      `The store holds ${found?.size ?? 'no'} bytes of ${facts.data.size} that were sent.`,
      {
        hint: 'Try again; if it happens again, check the store.',
      },
    );
  }
  const manifest = signManifest(
    {
      ...describe(context, run.task, subject, source),
      ...(await sealKeyOf(context, subject)),
      ...facts,
      data: { name: dataName(run.task.attempt), ...facts.data },
      finished_at: new Date().toISOString(),
    },
    sealed.keys,
  );
  await run.assertCurrent();
  await putManifest(context, manifest, run);
  return manifest;
}

function sealSource(source: BackupSource, fresh: FreshKeys, run: RunningAttempt) {
  return sealData({
    source: source.stream,
    fresh,
    compression: source.compressed ? 'none' : 'zstd',
    signal: run.signal,
    onProgress: ({ bytesIn, bytesOut }) => run.setBytes(bytesIn, bytesOut),
  });
}

function describe(context: Context, task: Task, { backup, instance }: Subject, source: BackupSource) {
  return {
    format: 1 as const,
    site_id: context.siteId,
    id: backup.id,
    backup_id: backup.backupId,
    backup_guid: instance.backupGuid,
    instance_id: instance.guid,
    instance_name: instance.name,
    engine: instance.engine,
    engine_version: source.engineVersion,
    tool: source.tool,
    media_type: source.mediaType,
    suffix: source.suffix,
    engine_details: source.details,
    triggered_at: task.triggeredAt.toISOString(),
    started_at: (task.startedAt ?? task.triggeredAt).toISOString(),
  };
}

async function sealKeyOf(context: Context, { backup, instance, passphrase }: Subject) {
  const key = await findKey(context.db, instance.id, backup.keyVersion);
  return {
    key_version: backup.keyVersion,
    key_set_by: key?.setBy ?? 'system',
    sealed_key: seal(context.masterKey, keyBinding(instance.guid, backup.keyVersion), passphrase).toString(
      'base64',
    ),
  } as const;
}

/**
 * The manifest goes in only where none is: so a worker that was thought dead, and wakes up here, cannot replace that of a
 * later attempt. The other way round, the later one finds that manifest, and may replace it because it holds the task.
 */
async function putManifest(context: Context, manifest: Manifest, run: RunningAttempt): Promise<void> {
  const [store] = context.stores;
  const key = manifestKey(manifest.backup_guid, manifest.backup_id);
  const bytes = encodeManifest(manifest);
  try {
    await putBytes(store, key, bytes, { signal: run.signal, ifAbsent: true });
  } catch (error) {
    if (!hasCode(error, 'ObjectExists')) throw error;
    await run.assertCurrent();
    await putBytes(store, key, bytes, { signal: run.signal });
  }
}
