import { createDecipheriv, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import type { Manifest } from '../core/manifest.ts';
import { damaged, isDecompressionError } from './damage.ts';
import type { StoredKeys } from './derive-keys.ts';
import { PlaintextDigest } from './digests.ts';
import { joinStreams, mapBytes, stageBuffer } from './join-streams.ts';
import { frugal, handOver, release } from './release.ts';
import { HeaderReader, saltedHeaderBytes, saltOf } from './salted-header.ts';

export interface OpenOptions {
  /** All bytes of the stored object, as `verifiedChunks` delivers them. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** One that `verifyManifest` found genuine. */
  readonly manifest: Pick<Manifest, 'compression' | 'encryption' | 'plaintext'>;
  readonly keys: StoredKeys;
  readonly signal: AbortSignal;
  /** Called for every piece, with bytes of stored data and of plaintext so far. */
  readonly onProgress?: (progress: { readonly bytesIn: number; readonly bytesOut: number }) => void;
}

/**
 * The plaintext of a backup. Ends cleanly only when size and HMAC of the plaintext are those of the manifest; fails with
 * `BackupDamaged` when the bytes do not open, and with the errors of `chunks`.
 */
export function openData(options: OpenOptions): Readable {
  const { manifest, keys } = options;
  const plaintext = new PlaintextDigest(keys.plaintextMacKey);
  const header = new HeaderReader();
  const decipher = createDecipheriv('aes-256-ctr', keys.key, keys.iv);
  let bytesIn = 0;
  const decrypt = mapBytes(
    (bytes) => {
      bytesIn += bytes.length;
      const body = header.take(bytes, (found) => assertSalt(found, manifest.encryption.salt));
      const opened = handOver(decipher.update(body));
      release(bytes);
      return opened;
    },
    () => {
      if (!header.complete) throw damaged('The stored data is damaged: it ends within its header.');
      return decipher.final();
    },
  );
  const unzip =
    manifest.compression === 'zstd' ? frugal(createZstdDecompress({ chunkSize: stageBuffer })) : undefined;
  const check = mapBytes(
    (bytes) => {
      plaintext.update(bytes);
      if (plaintext.size > manifest.plaintext.size) {
        throw damaged(
          `The data of the backup is longer than the ${manifest.plaintext.size} bytes that the manifest says.`,
        );
      }
      options.onProgress?.({ bytesIn, bytesOut: plaintext.size });
      return bytes;
    },
    () => {
      if (unzip && unzip.bytesWritten !== bytesIn - saltedHeaderBytes) {
        throw damaged('The stored data is damaged: something follows the end of the compressed data.');
      }
      assertSame(plaintext.finish(), manifest.plaintext);
      return undefined;
    },
  );
  const stages = unzip ? [decrypt, unzip, check] : [decrypt, check];
  return joinStreams(Readable.from(inPieces(options.chunks)), stages, { signal: options.signal, translate });
}

/** Stages buffer a piece or two each, so small ones keep memory low: a chunk has 8 MiB. */
function inPieces(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = chunks[Symbol.asyncIterator]();
      let chunk: Uint8Array = new Uint8Array(0);
      return {
        async next() {
          while (chunk.length === 0) {
            const { value, done } = await iterator.next();
            if (done) return { value: undefined, done };
            chunk = value;
          }
          const value = chunk.subarray(0, stageBuffer);
          chunk = chunk.subarray(stageBuffer);
          return { value, done: false };
        },
        // At once, also while a chunk is waited for: a generator would wait for it, and for a silent store for ever.
        return: async () => (await iterator.return?.()) ?? { value: undefined, done: true },
      };
    },
  };
}

function assertSalt(header: Buffer, salt: string): void {
  if (saltOf(header)?.toString('hex') !== salt) {
    throw damaged('The stored data is damaged: its header is not the one that the manifest says.');
  }
}

function assertSame(found: Manifest['plaintext'], expected: Manifest['plaintext']): void {
  const same = timingSafeEqual(Buffer.from(found.hmac, 'hex'), Buffer.from(expected.hmac, 'hex'));
  if (found.size !== expected.size) {
    throw damaged(`The data of the backup has ${found.size} bytes; the manifest says ${expected.size}.`);
  }
  if (!same)
    throw damaged('The data of the backup is not what was backed up: its digest differs from the manifest.');
}

function translate(error: NodeJS.ErrnoException): Error {
  if (!isDecompressionError(error)) return error;
  return damaged('The stored data is damaged: it does not decompress.', error);
}
