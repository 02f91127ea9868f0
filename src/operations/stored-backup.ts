import type { Readable } from 'node:stream';
import { ForestayError, hasCode } from '../core/errors.ts';
import { dataKey, type Manifest, manifestKey, parseManifest } from '../core/manifest.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** A backup as it lies in a store: its manifest, and where its bytes are. Nothing here is believed before its signature is checked. */
export interface StoredBackup {
  readonly store: ObjectStore;
  readonly manifest: Manifest;
}

/** Larger than the manifest of a 3 TB backup; parsing one takes ten times its size in memory. */
const maxManifestBytes = 32 * 1024 * 1024;

/** Reads the manifest of a backup from one store. Throws `ObjectMissing` or `BackupDamaged`. */
export async function readStoredBackup(
  store: ObjectStore,
  backupGuid: string,
  backupId: string,
  signal: AbortSignal,
): Promise<StoredBackup> {
  const key = manifestKey(backupGuid, backupId);
  const manifest = parseManifest(await readAll(await store.get(key, { signal })));
  // The folder names are not signed, so a manifest that was moved to another backup's folder is told by what is.
  if (manifest.backup_guid !== backupGuid || manifest.backup_id !== backupId) {
    throw new ForestayError('BackupDamaged', `The manifest under ${backupId} belongs to another backup.`);
  }
  return { store, manifest };
}

/** Whether the data object is there with the size that the manifest says. */
export async function isComplete({ store, manifest }: StoredBackup, signal: AbortSignal): Promise<boolean> {
  const info = await store.head(storedDataKey(manifest), signal);
  return info?.size === manifest.data.size;
}

export function storedDataKey(manifest: Manifest): string {
  return dataKey(manifest.backup_guid, manifest.backup_id, manifest.data.name);
}

/** Opens a range of the data, as `verifiedChunks` wants it. */
export function dataReader({ store, manifest }: StoredBackup) {
  return (range: { start: number; end: number }, signal: AbortSignal): Promise<Readable> =>
    store.get(storedDataKey(manifest), { range, signal });
}

/**
 * Finds a backup in the first store that holds it whole. Throws `BackupNotFound` when every store answered and none does,
 * `BackupDamaged` when one holds it damaged and none whole, and a store's own error when one could not answer.
 */
export async function findStoredBackup(
  stores: readonly ObjectStore[],
  backupGuid: string,
  backupId: string,
  signal: AbortSignal,
): Promise<StoredBackup> {
  let reason: unknown;
  for (const store of stores) {
    try {
      const stored = await readStoredBackup(store, backupGuid, backupId, signal);
      if (await isComplete(stored, signal)) return stored;
      reason ??= new ForestayError(
        'BackupDamaged',
        `The data of backup ${backupId} is missing or of the wrong size.`,
      );
    } catch (error) {
      if (signal.aborted) throw error;
      if (!hasCode(error, 'ObjectMissing')) reason ??= error;
    }
  }
  throw reason ?? new ForestayError('BackupNotFound', `No store holds the backup ${backupId}.`);
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
