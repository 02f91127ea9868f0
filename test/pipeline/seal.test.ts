import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseManifest, pbkdf2Rounds } from '../../src/core/manifest.ts';
import { freshKeys } from '../../src/pipeline/fresh-keys.ts';
import { openData } from '../../src/pipeline/open.ts';
import { sealData } from '../../src/pipeline/seal.ts';
import { encodeManifest, verifyManifest } from '../../src/pipeline/signature.ts';
import { verifiedChunks } from '../../src/pipeline/verified-chunks.ts';
import { passphrases, plaintexts } from './arbitraries.ts';
import { never, openBackup, readerOf, sealBackup } from './sealed.ts';

const run = promisify(execFile);
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'seal-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Decrypts with the program that everybody has, the passphrase in a file as the docs recommend. */
async function opensslDecrypt(stored: Buffer, passphrase: string, rounds: number): Promise<string> {
  await writeFile(join(folder, 'data'), stored);
  await writeFile(join(folder, 'key'), `${passphrase}\n`);
  const plain = join(folder, 'plain');
  const args =
    `enc -d -aes-256-ctr -pbkdf2 -iter ${rounds} -md sha256 -in ${folder}/data -out ${plain}`.split(' ');
  await run('openssl', [...args, '-pass', `file:${folder}/key`]);
  return plain;
}

describe('sealing', () => {
  test('gives back any bytes, in any pieces, under any passphrase, compressed or not', async () => {
    await fc.assert(
      fc.asyncProperty(
        plaintexts,
        passphrases,
        fc.constantFrom('zstd' as const, 'none' as const),
        fc.integer({ min: 1, max: 2000 }),
        async (pieces, passphrase, compression, chunkSize) => {
          const backup = await sealBackup(pieces, passphrase, { compression, chunkSize });
          const plaintext = Buffer.concat(pieces);
          expect((await openBackup(backup, passphrase)).equals(plaintext)).toBe(true);
          expect(backup.manifest.plaintext.size).toBe(plaintext.length);
          expect(backup.manifest.data.size).toBe(backup.stored.length);
          expect(parseManifest(encodeManifest(backup.manifest))).toEqual(backup.manifest);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('promise 6: what is stored opens with openssl and zstd alone, whatever the passphrase', async () => {
    await fc.assert(
      fc.asyncProperty(plaintexts, passphrases, async (pieces, passphrase) => {
        const { stored } = await sealBackup(pieces, passphrase);
        const plain = await opensslDecrypt(stored, passphrase, 10);
        const { stdout } = await run('zstd', ['-d', '-c', plain], { encoding: 'buffer', maxBuffer: 1e8 });
        expect(stdout.equals(Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test('uses 600,000 rounds, chunks of 8 MiB and a new salt every time', async () => {
    const bytes = Buffer.alloc(9 * 1024 * 1024, 'x');
    const options = { compression: 'none', rounds: undefined, chunkSize: undefined } as const;
    const [one, other] = [
      await sealBackup(bytes, 'a passphrase', options),
      await sealBackup([], 'a passphrase', options),
    ];
    expect(one.manifest.encryption.rounds).toBe(pbkdf2Rounds);
    expect(one.manifest.data.chunks).toHaveLength(2);
    expect(one.manifest.data.chunk_size).toBe(8 * 1024 * 1024);
    expect(other.manifest.encryption.salt).not.toBe(one.manifest.encryption.salt);
    expect(other.stored).toHaveLength(16);
    expect((await readFile(await opensslDecrypt(one.stored, 'a passphrase', 600_000))).equals(bytes)).toBe(
      true,
    );
  });

  test('reports progress and has no facts before the end', async () => {
    const seen: { bytesIn: number; bytesOut: number }[] = [];
    const source = Readable.from([Buffer.alloc(3_000_000), Buffer.alloc(1_000_000)]);
    const onProgress = (progress: { bytesIn: number; bytesOut: number }) => seen.push(progress);
    const sealed = await sealData({
      source,
      fresh: freshKeys('a passphrase', 1),
      compression: 'zstd',
      signal: never,
      onProgress,
    });
    expect(() => sealed.facts()).toThrow();
    const stored = Buffer.concat(await sealed.stored.toArray());
    expect(seen.at(-1)).toEqual({ bytesIn: 4_000_000, bytesOut: stored.length });
    expect(sealed.facts().data.size).toBe(stored.length);
  });
});

describe('what ends a sealing', () => {
  const endless = () => {
    const source = new Readable({
      highWaterMark: 65_536,
      read: (size) => source.push(Buffer.alloc(size, 'x')),
    });
    return source;
  };
  const seal = (source: Readable, signal = never) =>
    sealData({ source, fresh: freshKeys('a passphrase', 1), compression: 'zstd', signal });

  test('a failing source fails the stored bytes with its own error, and there are no facts', async () => {
    for (const pieces of [0, 1, 40]) {
      const failing = Readable.from(
        (async function* () {
          for (let piece = 0; piece < pieces; piece++) yield Buffer.alloc(100_000, piece);
          throw new Error('pg_dump exited with code 1');
        })(),
      );
      const { stored, facts } = await seal(failing);
      await expect(stored.toArray()).rejects.toThrow('pg_dump exited with code 1');
      expect(facts).toThrow();
    }
  });

  test('a source that failed before the stages were there fails them too', async () => {
    const source = new Readable({ read() {} });
    source.on('error', () => {});
    source.destroy(new Error('no such database'));
    await sleep(5);
    const { stored } = await seal(source);
    await expect(stored.toArray()).rejects.toThrow('no such database');
  });

  test('a source that just disappears is no clean end', async () => {
    const source = new Readable({ read() {} });
    const { stored, facts } = await seal(source);
    source.push(Buffer.alloc(1000));
    setTimeout(() => source.destroy(), 10);
    await expect(stored.toArray()).rejects.toThrow();
    expect(facts).toThrow();
  });

  test('a reader that stops early, or fails, destroys the source', async () => {
    const left = endless();
    for await (const _ of (await seal(left)).stored) break;
    expect(left.destroyed).toBe(true);
    const failed = endless();
    const { stored } = await seal(failed);
    stored.destroy(new Error('the store is full'));
    await new Promise((resolve) => stored.once('close', resolve));
    expect(failed.closed).toBe(true);
  });

  test('an abort at any moment destroys both ends', async () => {
    for (const ms of [0, 1, 2, 5, 10, 30]) {
      const abort = new AbortController();
      const source = endless();
      setTimeout(() => abort.abort(), ms);
      const work = seal(source, abort.signal).then(async ({ stored }) => {
        for await (const _ of stored);
      });
      await expect(work).rejects.toMatchObject({ code: 'Canceled' });
      expect(source.destroyed).toBe(true);
    }
  });
});

test('promise 7: memory does not grow with the data', { timeout: 120_000 }, async () => {
  const block = Buffer.from(
    Array.from({ length: 3000 }, (_, row) => `${row}\t${(row * 7919) % 10_007}\tsome text\n`).join(''),
  );
  const total = 1024 ** 3;
  let produced = 0;
  const source = new Readable({
    read() {
      this.push(produced < total ? block : null);
      produced += block.length;
    },
  });
  const sealed = await sealData({
    source,
    fresh: freshKeys('a passphrase', 1),
    compression: 'zstd',
    signal: never,
  });
  const before = process.memoryUsage.rss();
  let peak = before;
  // The way back at the same time: what is stored goes straight into being opened.
  const manifest = {
    compression: 'zstd',
    encryption: { scheme: 'openssl-pbkdf2', salt: '', rounds: 1 },
  } as const;
  const stored: Buffer[] = [];
  for await (const piece of sealed.stored) {
    stored.push(piece);
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  const { data, plaintext, encryption } = sealed.facts();
  const held = Buffer.concat(stored);
  const chunks = verifiedChunks({
    manifest: { data: { name: 'data', ...data } },
    sources: [{ name: 'store', read: readerOf(held, 65_536) }],
    signal: never,
  });
  let opened = 0;
  for await (const piece of openData({
    chunks,
    manifest: { ...manifest, encryption, plaintext },
    keys: sealed.keys,
    signal: never,
  })) {
    opened += piece.length;
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  expect(opened).toBe(plaintext.size);
  const growth = (peak - before - 2 * data.size) / 1024 ** 2;
  console.log(`1 GiB sealed and opened: resident memory grew by at most ${growth.toFixed(0)} MiB`);
  expect(growth).toBeLessThan(400);
});

test('a wrong passphrase is refused before any data is read', async () => {
  const { manifest } = await sealBackup(Buffer.from('x'), 'the right one');
  await expect(verifyManifest(manifest, 'the wrong one')).rejects.toMatchObject({
    code: 'EncryptionKeyMismatch',
  });
});
