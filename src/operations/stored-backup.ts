import type { Readable } from 'node:stream';
import { ForestayError, hasCode, toForestayError } from '../core/errors.ts';
import { canonicalJson, dataKey, type Manifest, manifestKey, parseManifest } from '../core/manifest.ts';
import type { StoredKeys } from '../pipeline/derive-keys.ts';
import { verifyManifest } from '../pipeline/signature.ts';
import { type ByteRange, type ChunkSource, verifiedChunks } from '../pipeline/verified-chunks.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** A backup that some store holds whole and whose manifest is genuine. */
export interface StoredBackup {
  readonly manifest: Manifest;
  /** Open its data. */
  readonly keys: StoredKeys;
  /** Every store that holds this very backup with data of the right size, in the order in which they were looked through. */
  readonly stores: readonly [ObjectStore, ...ObjectStore[]];
  /** Why other stores do not serve, a sentence each. A store that just does not have the backup is none. */
  readonly notes: readonly string[];
}

/** Larger than the manifest of a 3 TB backup; parsing one takes ten times its size in memory. */
const maxManifestBytes = 32 * 1024 * 1024;

/** Reads the manifest of a backup from one store. Nothing in it is believed yet. Throws `ObjectMissing` or `BackupDamaged`. */
export async function readManifest(
  store: ObjectStore,
  backupGuid: string,
  backupId: string,
  signal: AbortSignal,
): Promise<Manifest> {
  const key = manifestKey(backupGuid, backupId);
  const manifest = parseManifest(await readAll(await store.get(key, { signal })));
  // The folder names are not signed, so a manifest that was moved to another backup's folder is told by what is.
  if (manifest.backup_guid !== backupGuid || manifest.backup_id !== backupId) {
    throw new ForestayError('BackupDamaged', `The manifest under ${backupId} belongs to another backup.`);
  }
  return manifest;
}

/** Whether the data object is there with the size that the manifest says. */
export async function isComplete(
  store: ObjectStore,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<boolean> {
  const look = async () => (await store.head(storedDataKey(manifest), signal))?.size === manifest.data.size;
  // Twice before anybody hears of damage: a gateway may say a wrong size once.
  return (await look()) || (await look());
}

export function storedDataKey(manifest: Manifest): string {
  return dataKey(manifest.backup_guid, manifest.backup_id, manifest.data.name);
}

/**
 * The checked bytes of a stored backup, from whichever store has each chunk right. `onNote` is told, once for each store, why one
 * was left for another.
 */
export function storedBytes(
  { manifest, stores }: Pick<StoredBackup, 'manifest' | 'stores'>,
  options: { range?: ByteRange | undefined; signal: AbortSignal; onNote?: (note: string) => void },
): AsyncIterable<Buffer> {
  const sourceOf = (store: ObjectStore): ChunkSource => ({
    name: store.name,
    read: (range, signal): Promise<Readable> => store.get(storedDataKey(manifest), { range, signal }),
  });
  const [first, ...others] = stores;
  const failed = new Set<string>();
  return verifiedChunks({
    manifest,
    sources: [sourceOf(first), ...others.map(sourceOf)],
    signal: options.signal,
    ...(options.range && { range: options.range }),
    onFailedSource(source, error) {
      if (failed.has(source.name)) return;
      failed.add(source.name);
      options.onNote?.(noteOf(source.name, error));
    },
  });
}

/**
 * Finds a backup in the stores that hold it whole, and checks its manifest. One copy is enough: other stores may lack it, hold it
 * damaged or not answer. Without any it throws what may pass, if anything does (a store that is away); else
 * `BackupDamaged`, `EncryptionKeyMismatch` (of that passphrase; a changed manifest looks the same), or `BackupNotFound` when every
 * store answered and none knows it.
 */
export async function findStoredBackup(
  stores: readonly ObjectStore[],
  wanted: { backupGuid: string; backupId: string; passphrase: string },
  signal: AbortSignal,
): Promise<StoredBackup> {
  const { backupGuid, backupId, passphrase } = wanted;
  let found: { manifest: Manifest; keys: StoredKeys; canonical: string } | undefined;
  const holding: ObjectStore[] = [];
  const reasons: { store: ObjectStore; error: unknown }[] = [];
  for (const store of stores) {
    try {
      const manifest = await readManifest(store, backupGuid, backupId, signal);
      if (!(await isComplete(store, manifest, signal))) throw incomplete(backupId);
      const canonical = canonicalJson(manifest);
      found ??= { manifest, keys: await verifyManifest(manifest, passphrase), canonical };
      if (canonical !== found.canonical) throw different(backupId);
      holding.push(store);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!hasCode(error, 'ObjectMissing')) reasons.push({ store, error });
    }
  }
  const [first, ...others] = holding;
  if (found && first) {
    const notes = reasons.map(({ store, error }) => noteOf(store.name, error));
    return { manifest: found.manifest, keys: found.keys, stores: [first, ...others], notes };
  }
  const errors = reasons.map(({ error }) => error);
  throw (
    errors.find((error) => error instanceof ForestayError && error.retryable) ??
    errors.find((error) => hasCode(error, 'BackupDamaged', 'IncompatibleBackup')) ??
    errors[0] ??
    new ForestayError('BackupNotFound', `No store holds the backup ${backupId}.`)
  );
}

/** For users: why a store did not serve. */
export function noteOf(storeName: string, error: unknown): string {
  return `The copy in ${storeName} was not used: ${toForestayError(error).message}`;
}

function incomplete(backupId: string): ForestayError {
  return new ForestayError(
    'BackupDamaged',
    `The data of backup ${backupId} is missing or of the wrong size.`,
  );
}

function different(backupId: string): ForestayError {
  return new ForestayError(
    'BackupDamaged',
    `It has another manifest of backup ${backupId} than the one used.`,
  );
}

async function readAll(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of stream as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxManifestBytes)
      throw new ForestayError('BackupDamaged', 'The manifest of the backup is too large to be one.');
    parts.push(part);
  }
  return Buffer.concat(parts);
}
