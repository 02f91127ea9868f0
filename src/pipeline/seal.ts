import { createCipheriv } from 'node:crypto';
import type { Readable } from 'node:stream';
import { constants, createZstdCompress } from 'node:zlib';
import { chunkSize, type Manifest } from '../core/manifest.ts';
import { abortError } from './abort.ts';
import type { StoredKeys } from './derive-keys.ts';
import { PlaintextDigest, StoredDigests } from './digests.ts';
import type { FreshKeys } from './fresh-keys.ts';
import { gather } from './gather.ts';
import { joinStreams, mapBytes, stageBuffer } from './join-streams.ts';
import { frugal, handOver, release } from './release.ts';
import { saltedHeader } from './salted-header.ts';

/**
 * Plaintext to stored bytes, in one pass: count and HMAC, compress, encrypt, count and digest. The format is that of
 * docs/stored-format.md.
 */

export interface SealOptions {
  readonly source: Readable;
  readonly fresh: FreshKeys;
  readonly compression: Manifest['compression'];
  readonly signal: AbortSignal;
  /** Called for every piece, with bytes of plaintext and of stored data so far. */
  readonly onProgress?: (progress: Progress) => void;
  /** Smaller ones than the default are for tests. */
  readonly chunkSize?: number;
}

export interface Progress {
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What the manifest says of the bytes. */
export type SealedFacts = Pick<Manifest, 'compression' | 'encryption' | 'plaintext'> & {
  readonly data: Omit<Manifest['data'], 'name'>;
};

export interface Sealed {
  /**
   * The bytes to store, for one reader, who may `release` them. Destroying it, or leaving off iterating over it, destroys the
   * source.
   */
  readonly stored: Readable;
  /** What the manifest is to be signed with. */
  readonly keys: StoredKeys;
  /** Only after `stored` ended cleanly; throws before. */
  facts(): SealedFacts;
}

/** Takes over the source: whatever goes wrong, here or later, destroys it. Errors of the source come out of `stored`. */
export async function sealData(options: SealOptions): Promise<Sealed> {
  const { source, signal, compression, onProgress } = options;
  const { salt, rounds } = options.fresh;
  // A source that fails meanwhile keeps its error until the stages are there.
  source.on('error', () => {});
  const keys = await options.fresh.derived.catch((error) => {
    source.destroy();
    throw error;
  });
  if (signal.aborted) {
    source.destroy(abortError(signal));
    throw abortError(signal);
  }

  const plaintext = new PlaintextDigest(keys.plaintextMacKey);
  const digests = new StoredDigests(options.chunkSize ?? chunkSize);
  let facts: SealedFacts | undefined;
  const measure = gather((bytes) => plaintext.update(bytes));
  const cipher = createCipheriv('aes-256-ctr', keys.key, keys.iv);
  let header: Buffer | undefined = saltedHeader(salt);
  const encrypt = (bytes?: Buffer): Buffer => {
    const parts = [header ?? [], bytes ? cipher.update(bytes) : cipher.final()].flat();
    header = undefined;
    const sealed = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    digests.update(handOver(sealed));
    if (bytes) release(bytes);
    onProgress?.({ bytesIn: plaintext.size, bytesOut: digests.size });
    return sealed;
  };
  const compress = compression === 'zstd' ? zstdCompress() : undefined;
  const protect = mapBytes(encrypt, () => {
    // Promise 1, the byte counts agree: what was measured is what was compressed.
    if (compress && compress.bytesWritten !== plaintext.size) {
      throw new Error(`${plaintext.size} bytes were measured, ${compress.bytesWritten} compressed`);
    }
    const last = encrypt();
    facts = {
      compression,
      encryption: { scheme: 'openssl-pbkdf2', salt: salt.toString('hex'), rounds },
      data: digests.finish(),
      plaintext: plaintext.finish(),
    };
    return last;
  });
  const stages = compress ? [measure, compress, protect] : [measure, protect];
  const stored = joinStreams(source, stages, { signal });
  return {
    stored,
    keys,
    facts() {
      if (!facts || !stored.readableEnded) throw new Error('the stored bytes have not ended cleanly');
      return facts;
    },
  };
}

/** Level 1 keeps up with what databases deliver; `nbWorkers` is not set because it crashes the process in Node 24. */
function zstdCompress() {
  const compress = createZstdCompress({
    chunkSize: stageBuffer,
    params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  return frugal(compress);
}
