import { Readable } from 'node:stream';
import type { Manifest, UnsignedManifest } from '../../src/core/manifest.ts';
import { freshKeys } from '../../src/pipeline/fresh-keys.ts';
import { openData } from '../../src/pipeline/open.ts';
import { type SealedFacts, type SealOptions, sealData } from '../../src/pipeline/seal.ts';
import { signManifest, verifyManifest } from '../../src/pipeline/signature.ts';
import { type ByteRange, verifiedChunks } from '../../src/pipeline/verified-chunks.ts';

export const never = new AbortController().signal;

export interface SealedBackup {
  readonly manifest: Manifest;
  readonly stored: Buffer;
}

/** Seals a plaintext as a backup does; few rounds and small chunks unless told otherwise, to be quick. */
export async function sealBackup(
  plaintext: Uint8Array | readonly Uint8Array[],
  passphrase: string,
  options: Partial<Pick<SealOptions, 'compression' | 'chunkSize'>> & {
    readonly rounds?: number | undefined;
  } = {},
): Promise<SealedBackup> {
  const pieces = plaintext instanceof Uint8Array ? [plaintext] : plaintext;
  const { rounds, ...others } = { rounds: 10, ...options };
  const sealed = await sealData({
    source: Readable.from(pieces, { objectMode: true }),
    fresh: freshKeys(passphrase, rounds),
    compression: 'zstd',
    signal: never,
    ...others,
  });
  const stored = Buffer.concat(await sealed.stored.toArray());
  const { data, ...facts } = sealed.facts();
  return {
    manifest: signManifest({ ...about, ...facts, data: { name: 'data', ...data } }, sealed.keys),
    stored,
  };
}

/** Opens as a restore does, manifest first. `passedOn` gets every byte of stored data that was taken for verified. */
export async function openBackup(
  { manifest, stored }: SealedBackup,
  passphrase: string,
  passedOn: Buffer[] = [],
): Promise<Buffer> {
  const keys = await verifyManifest(manifest, passphrase);
  const chunks = (async function* () {
    for await (const chunk of verifiedChunks({
      manifest,
      sources: [{ name: 'store', read: readerOf(stored) }],
      signal: never,
    })) {
      passedOn.push(chunk);
      yield chunk;
    }
  })();
  return Buffer.concat(await openData({ chunks, manifest, keys, signal: never }).toArray());
}

/** Reads an object in memory as a store would, in pieces that fit no boundary. */
export function readerOf(stored: Buffer, pieceSize = 7): (range: ByteRange) => Promise<Readable> {
  return async ({ start, end }) => {
    const bytes = stored.subarray(start, end);
    const size = Math.max(pieceSize, Math.ceil(bytes.length / 50));
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    );
    return Readable.from(pieces);
  };
}

const about: Omit<UnsignedManifest, keyof SealedFacts> = {
  format: 1,
  site_id: 'a site',
  id: 7,
  backup_id: '0d0d0d0d-0000-4000-8000-000000000000-1700000000000',
  backup_guid: '0d0d0d0d-0000-4000-8000-000000000000',
  instance_id: '1e1e1e1e-0000-4000-8000-000000000000',
  instance_name: 'Übung "shop", \\,"mac":"no',
  engine: 'postgresql',
  engine_version: '15.18',
  tool: { name: 'pg_dump', version: '15.18' },
  media_type: 'application/vnd.postgresql.custom-dump',
  suffix: '.dump',
  engine_details: { encoding: 'UTF8', z: [1, true, null], a: { b: 'c' } },
  triggered_at: '2026-01-02T03:04:05.006Z',
  started_at: '2026-01-02T03:04:06.006Z',
  finished_at: '2026-01-02T03:04:07.006Z',
  key_version: 2,
  key_set_by: 'user',
  sealed_key: 'AQID',
};
