import { createDecipheriv } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { ForestayError } from '../core/errors.ts';
import { type Manifest, pbkdf2Rounds } from '../core/manifest.ts';
import { decodeA9s } from '../pipeline/a9s.ts';
import { damaged, isDecompressionError } from '../pipeline/damage.ts';
import { deriveA9sKeys, deriveKeys, type StoredKeys } from '../pipeline/derive-keys.ts';
import { joinStreams, mapBytes } from '../pipeline/join-streams.ts';
import { openData } from '../pipeline/open.ts';
import { HeaderReader, saltedHeaderBytes, saltOf } from '../pipeline/salted-header.ts';
import { verifyManifest } from '../pipeline/signature.ts';
import { verifiedChunks } from '../pipeline/verified-chunks.ts';

export interface OpenFileOptions {
  readonly passphrase: string;
  readonly manifest: Manifest | undefined;
  /** Found out when absent. */
  readonly form?: 'a9s' | 'stored';
  /** Of the stored form without manifest; zstd when absent. */
  readonly compression?: 'zstd' | 'none';
  readonly signal: AbortSignal;
}

export interface OpenedFile {
  readonly plain: Readable;
  readonly form: 'a9s' | 'stored';
  /** When `plain` ends cleanly it is what was backed up, by signature; otherwise only a checksum of compression says so. */
  readonly verified: boolean;
}

/** The plaintext of a downloaded file. Throws, or fails with, `EncryptionKeyMismatch` and `BackupDamaged`. */
export async function openFile(file: string, options: OpenFileOptions): Promise<OpenedFile> {
  const { manifest, passphrase, signal } = options;
  const start = await readStart(file);
  if (manifest) return { plain: await openVerified(file, manifest, options), form: 'stored', verified: true };
  const form = options.form ?? (startsAsA9s(start, passphrase) ? 'a9s' : 'stored');
  if (form === 'a9s') {
    return { plain: decodeA9s(createReadStream(file), passphrase, signal), form, verified: false };
  }
  const keys = await deriveKeys(passphrase, start.salt, pbkdf2Rounds);
  const compression = options.compression ?? 'zstd';
  if (compression === 'zstd') assertZstd(start, keys);
  return { plain: openUnverified(file, keys, compression, signal), form, verified: false };
}

interface Start {
  readonly salt: Buffer;
  /** The first block of ciphertext, or less. */
  readonly block: Buffer;
}

const blockBytes = 16;

async function readStart(file: string): Promise<Start> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(saltedHeaderBytes + blockBytes), 0);
  const salt = saltOf(buffer.subarray(0, Math.min(bytesRead, saltedHeaderBytes)));
  if (!salt) throw damaged('The file is not an encrypted backup: it does not start as one.');
  return { salt, block: buffer.subarray(saltedHeaderBytes, bytesRead) };
}

/** Whether the first block opens to the start of a gzip file. */
function startsAsA9s({ salt, block }: Start, passphrase: string): boolean {
  if (block.length < blockBytes) return false;
  const { key, iv } = deriveA9sKeys(passphrase, salt);
  const plain = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false).update(block);
  return plain.subarray(0, 3).equals(Buffer.of(0x1f, 0x8b, 8));
}

function assertZstd({ block }: Start, { key, iv }: StoredKeys): void {
  const plain = createDecipheriv('aes-256-ctr', key, iv).update(block);
  if (plain.subarray(0, 4).equals(Buffer.of(0x28, 0xb5, 0x2f, 0xfd))) return;
  throw new ForestayError('EncryptionKeyMismatch', 'The key does not open this file.', {
    hint: 'Use the key that was set when the backup was made. A stored backup that is not compressed needs --manifest, or --form stored --compression none.',
  });
}

async function openVerified(file: string, manifest: Manifest, options: OpenFileOptions): Promise<Readable> {
  const { passphrase, signal } = options;
  const keys = await verifyManifest(manifest, passphrase);
  const chunks = verifiedChunks({
    manifest,
    sources: [
      {
        name: file,
        read: async ({ start, end }) =>
          end > start ? createReadStream(file, { start, end: end - 1 }) : Readable.from([]),
      },
    ],
    signal,
  });
  return openData({ chunks, manifest, keys, signal });
}

/** What `openssl enc -d … | zstd -d` does. A change of the bytes shows only where decompression notices it. */
function openUnverified(
  file: string,
  { key, iv }: StoredKeys,
  compression: 'zstd' | 'none',
  signal: AbortSignal,
): Readable {
  const header = new HeaderReader();
  const decipher = createDecipheriv('aes-256-ctr', key, iv);
  let decrypted = 0;
  const decrypt = mapBytes((piece) => {
    const bytes = decipher.update(header.take(piece, () => {}));
    decrypted += bytes.length;
    return bytes;
  });
  const unzip = createZstdDecompress();
  const checkEnd = mapBytes(
    (piece) => piece,
    () => {
      if (unzip.bytesWritten !== decrypted) throw damaged('The file is damaged: something follows its end.');
      return undefined;
    },
  );
  const stages = compression === 'zstd' ? [decrypt, unzip, checkEnd] : [decrypt];
  const translate = (error: Error) =>
    isDecompressionError(error) ? damaged('The file is damaged: it does not decompress.', error) : error;
  return joinStreams(createReadStream(file), stages, { signal, translate });
}
