import { Readable } from 'node:stream';
import { backupGuidOf, isDownloadable } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import type { Manifest } from '../core/manifest.ts';
import { type Backup, findBackup } from '../db/backups.ts';
import { findInstance, findKey, newestUserKeyVersion } from '../db/instances.ts';
import { encodeA9s } from '../pipeline/a9s.ts';
import { openData } from '../pipeline/open.ts';
import type { ByteRange } from '../pipeline/verified-chunks.ts';
import { type Context, openKey } from './context.ts';
import { findStoredBackup, storedBytes, storedDataKey } from './stored-backup.ts';

/**
 * `a9s`: what the upstream guide opens, made on the fly, so its length is not known. `stored`: the bytes as they lie in the
 * store, with length and ranges.
 */
export type DownloadForm = { form: 'a9s' } | { form: 'stored'; range?: ByteRange | undefined };

export interface Download {
  /** Fails when the backup turns out to be damaged half-way, so that nobody takes a part for the whole. */
  readonly stream: Readable;
  readonly fileName: string;
  /** Of the whole stored object, in bytes; also when only a range of it is delivered. */
  readonly size?: number;
  readonly sha256?: string;
  /** The command that opens the file, without the key. */
  readonly opensWith: string;
}

/** Everything that can be refused is refused before the first byte. */
export async function openDownload(
  context: Context,
  guid: string,
  id: number,
  wanted: DownloadForm,
  signal: AbortSignal,
): Promise<Download> {
  const { stored, passphrase, onNote } = await findDownload(context, guid, id, wanted, signal);
  const { manifest, keys } = stored;

  if (wanted.form === 'stored') {
    const chunks = storedBytes(stored, { range: wanted.range, signal, onNote });
    return {
      stream: Readable.from(chunks, { objectMode: false, signal }),
      ...describeStored(manifest),
    };
  }
  const plain = openData({ chunks: storedBytes(stored, { signal, onNote }), manifest, keys, signal });
  return {
    stream: encodeA9s(plain, passphrase, signal),
    fileName: `${manifest.backup_id}${manifest.suffix}.gz.enc`,
    opensWith: "openssl enc -aes256 -md md5 -d -pass 'pass:KEY' | gunzip",
  };
}

/** Where the stored bytes can be had from the store itself. */
export interface DownloadLink extends Omit<Download, 'stream'> {
  /** Whoever has it can fetch the bytes until it expires. */
  readonly url: string;
}

/** Long enough to start a download; one that has started may go on. */
const linkSeconds = 15 * 60;

/**
 * A link to the stored bytes, for whoever may download them; undefined where no store that has them gives out links. What is
 * refused is what `openDownload` refuses. Nobody but the client checks those bytes then, by their SHA-256.
 */
export async function linkDownload(
  context: Context,
  guid: string,
  id: number,
  signal: AbortSignal,
): Promise<DownloadLink | undefined> {
  const { stored } = await findDownload(context, guid, id, { form: 'stored' }, signal);
  const described = describeStored(stored.manifest);
  const options = { ttlSeconds: linkSeconds, fileName: described.fileName };
  const store = stored.stores.find(({ presign }) => presign);
  const url = await store?.presign?.(storedDataKey(stored.manifest), options);
  return url === undefined ? undefined : { url, ...described };
}

/** The backup in the stores that have it whole, once it is clear that it may be downloaded and that its key opens it. */
async function findDownload(
  context: Context,
  guid: string,
  id: number,
  wanted: DownloadForm,
  signal: AbortSignal,
) {
  const instance = await findInstance(context.db, guid);
  const backup = instance && (await findBackup(context.db, instance.id, id));
  if (!instance || !backup || backup.task.status === 'deleted') {
    throw new ForestayError('BackupNotFound', `There is no backup ${id} of this instance.`);
  }
  await refuseUnopenable(context, backup, wanted);
  const passphrase = await openKey(context, context.db, instance, backup.keyVersion);
  const { backupId } = backup;
  const source = { backupGuid: backupGuidOf(backupId), backupId, passphrase };
  const stored = await findStoredBackup(context.stores, source, signal);
  const onNote = (note: string) => context.log.warn({ backup_id: backupId }, note);
  for (const note of stored.notes) onNote(note);
  return { stored, passphrase, onNote };
}

function describeStored(manifest: Manifest) {
  return {
    fileName: `${manifest.backup_id}${manifest.suffix}${manifest.compression === 'zstd' ? '.zst' : ''}.enc`,
    size: manifest.data.size,
    sha256: manifest.data.sha256,
    opensWith: storedOpensWith(manifest),
  };
}

async function refuseUnopenable(context: Context, backup: Backup, wanted: DownloadForm): Promise<void> {
  const refuse = (message: string, hint: string) => {
    throw new ForestayError('BackupNotDownloadable', message, { hint });
  };
  const { status } = backup.task;
  if (status !== 'done')
    refuse(`Backup ${backup.id} is ${status}.`, 'Only a backup that is done can be downloaded.');
  const key = await findKey(context.db, backup.instanceId, backup.keyVersion);
  if (key?.setBy !== 'user') {
    refuse(
      `Backup ${backup.id} was made with a key that the system generated, and that nobody knows.`,
      'Set an encryption key and make a new backup; that one can be downloaded.',
    );
  }
  const newest = await newestUserKeyVersion(context.db, backup.instanceId);
  if (wanted.form === 'a9s' && !isDownloadable({ status, keyVersion: backup.keyVersion }, newest)) {
    refuse(
      `Backup ${backup.id} was made with version ${backup.keyVersion} of the encryption key, the newest is ${newest}.`,
      'With ?format=stored it is delivered as it is stored, and opens with the key it was made with.',
    );
  }
}

function storedOpensWith(manifest: Manifest): string {
  const decrypt = `openssl enc -d -aes-256-ctr -pbkdf2 -iter ${manifest.encryption.rounds} -md sha256 -pass 'pass:KEY'`;
  return manifest.compression === 'zstd' ? `${decrypt} | zstd -d` : decrypt;
}
