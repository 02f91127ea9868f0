import { Readable } from 'node:stream';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { ForestayError, hasCode } from '../../src/core/errors.ts';
import type { Manifest } from '../../src/core/manifest.ts';
import { openData } from '../../src/pipeline/open.ts';
import { verifyManifest } from '../../src/pipeline/signature.ts';
import { type ByteRange, verifiedChunks } from '../../src/pipeline/verified-chunks.ts';
import { never, openBackup, readerOf, type SealedBackup, sealBackup } from './sealed.ts';

const passphrase = 'a good passphrase';
const plaintext = Buffer.from(Array.from({ length: 600 }, (_, row) => `${row * 7919},${row},row\n`).join(''));
let backup: SealedBackup;
let other: SealedBackup;
beforeAll(async () => {
  // Stored as it is, so that no decompressor helps to find the damage; about 10 chunks, the last one shorter.
  backup = await sealBackup(plaintext, passphrase, { compression: 'none', chunkSize: 1000 });
  other = await sealBackup(plaintext, passphrase, { compression: 'none', chunkSize: 1000 });
});

/** A damaged object is refused, for a reason in words, and all that was passed on before is right. */
async function expectRefusal(stored: Buffer): Promise<void> {
  const passedOn: Buffer[] = [];
  const error = await openBackup({ ...backup, stored }, passphrase, passedOn).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ForestayError);
  expect((error as ForestayError).code).toBe('BackupDamaged');
  expect((error as ForestayError).message).toMatch(/^The stored data is damaged/);
  const verified = Buffer.concat(passedOn);
  expect(verified.equals(backup.stored.subarray(0, verified.length))).toBe(true);
  expect(verified.length).toBeLessThan(backup.stored.length);
}

describe('promise 2: damage is noticed before it hurts', () => {
  test('every truncation is refused', async () => {
    for (let size = 0; size < backup.stored.length; size += size < 40 ? 1 : 97) {
      await expectRefusal(backup.stored.subarray(0, size));
    }
    await expectRefusal(backup.stored.subarray(0, -1));
  });

  test('every flipped bit is refused, before a byte of its chunk is passed on', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(backup.stored.length - 1), fc.nat(7), async (at, bit) => {
        const stored = Buffer.from(backup.stored);
        stored.writeUInt8(stored.readUInt8(at) ^ (1 << bit), at);
        await expectRefusal(stored);
      }),
    );
  });

  test('every cut and every insertion is refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(backup.stored.length - 1),
        fc.integer({ min: 1, max: 3000 }),
        fc.uint8Array({ maxLength: 2000 }),
        async (at, length, instead) => {
          const stored = Buffer.concat([
            backup.stored.subarray(0, at),
            instead,
            backup.stored.subarray(at + length),
          ]);
          fc.pre(!stored.equals(backup.stored));
          await expectRefusal(stored);
        },
      ),
    );
  });

  test('swapped, repeated and foreign chunks are refused', async () => {
    const chunks = (of: Buffer) =>
      Array.from({ length: Math.ceil(of.length / 1000) }, (_, index) =>
        of.subarray(index * 1000, (index + 1) * 1000),
      );
    const count = chunks(backup.stored).length;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(count - 1),
        fc.nat(count - 1),
        fc.constantFrom('swap', 'repeat', 'foreign'),
        async (a, b, how) => {
          fc.pre(a !== b || how === 'foreign');
          const own = chunks(backup.stored);
          const [first, second] = [own[a] as Buffer, own[b] as Buffer];
          if (how === 'foreign') own[a] = chunks(other.stored)[a] as Buffer;
          else own[a] = second;
          if (how === 'swap') own[b] = first;
          await expectRefusal(Buffer.concat(own));
        },
      ),
    );
  });

  test('appended bytes are refused', async () => {
    await expectRefusal(Buffer.concat([backup.stored, Buffer.of(0)]));
    await expectRefusal(Buffer.concat([backup.stored, backup.stored]));
  });

  test('the message names the chunk', async () => {
    const stored = Buffer.from(backup.stored);
    stored.writeUInt8(stored.readUInt8(2500) ^ 1, 2500);
    await expect(openBackup({ ...backup, stored }, passphrase)).rejects.toThrow(
      `The stored data is damaged in chunk 3 of ${backup.manifest.data.chunks.length} (bytes 2000 to 2999).`,
    );
  });

  test('the data of another backup under the same key is refused', async () => {
    await expectRefusal(other.stored);
  });

  test('every edit of the manifest is refused', async () => {
    const { manifest } = backup;
    const edits: Partial<Manifest>[] = [
      { mac: '0'.repeat(64) },
      { mac: other.manifest.mac },
      { encryption: { ...manifest.encryption, salt: '0011223344556677' } },
      { encryption: { ...manifest.encryption, rounds: manifest.encryption.rounds + 1 } },
      { data: other.manifest.data },
      { data: { ...manifest.data, chunks: manifest.data.chunks.toReversed() } },
      { plaintext: { ...manifest.plaintext, size: 1 } },
      { compression: 'zstd' },
      { engine_details: {} },
      { key_version: 3 },
      ...Object.keys(manifest)
        .filter((field) => typeof manifest[field as keyof Manifest] === 'string' && field !== 'mac')
        .map((field) => ({ [field]: `${manifest[field as keyof Manifest]}x` })),
    ];
    for (const edit of edits) {
      const error = await verifyManifest({ ...manifest, ...edit }, passphrase).catch(
        (reason: unknown) => reason,
      );
      expect(hasCode(error, 'EncryptionKeyMismatch'), JSON.stringify(edit)).toBe(true);
    }
    await verifyManifest(structuredClone(manifest), passphrase);
  });

  test('a truncated or continued compressed frame is refused although its digests are right', async () => {
    for (const change of [
      (b: Buffer) => b.subarray(0, -1),
      (b: Buffer) => Buffer.concat([b, b]),
      (b: Buffer) => b.subarray(0, 0),
    ]) {
      const zipped = await sealBackup(plaintext, passphrase);
      const keys = await verifyManifest(zipped.manifest, passphrase);
      const body = await openBody(zipped);
      const resealed = await sealBackup(change(body), passphrase, { compression: 'none' });
      const resealedKeys = await verifyManifest(resealed.manifest, passphrase);
      const stream = openData({
        chunks: Readable.from([resealed.stored]),
        manifest: {
          ...resealed.manifest,
          compression: 'zstd',
          plaintext: zipped.manifest.plaintext,
        },
        keys: { ...resealedKeys, plaintextMacKey: keys.plaintextMacKey },
        signal: never,
      });
      await expect(stream.toArray()).rejects.toMatchObject({ code: 'BackupDamaged' });
    }
  });

  test('a plaintext that is not the one that was backed up is refused at its end', async () => {
    const keys = await verifyManifest(backup.manifest, passphrase);
    for (const edit of [
      { size: plaintext.length + 1 },
      { size: plaintext.length - 1 },
      { hmac: 'ab'.repeat(32) },
    ]) {
      const manifest = { ...backup.manifest, plaintext: { ...backup.manifest.plaintext, ...edit } };
      const stream = openData({ chunks: Readable.from([backup.stored]), manifest, keys, signal: never });
      await expect(stream.toArray()).rejects.toMatchObject({ code: 'BackupDamaged' });
    }
  });
});

/** The compressed bytes inside a sealed object. */
async function openBody({ manifest, stored }: SealedBackup): Promise<Buffer> {
  const { createDecipheriv } = await import('node:crypto');
  const { key, iv } = await verifyManifest(manifest, passphrase);
  return createDecipheriv('aes-256-ctr', key, iv).update(stored.subarray(16));
}

describe('verified chunks', () => {
  const read = (range?: ByteRange) =>
    verifiedChunks({
      manifest: backup.manifest,
      sources: [{ name: 'store', read: readerOf(backup.stored) }],
      signal: never,
      ...(range && { range }),
    });
  const collect = async (chunks: AsyncIterable<Buffer>) => {
    const pieces: Buffer[] = [];
    for await (const piece of chunks) pieces.push(piece);
    return Buffer.concat(pieces);
  };

  test('deliver exactly the range asked for, also where it goes beyond the end', async () => {
    const total = backup.stored.length;
    await fc.assert(
      fc.asyncProperty(fc.nat(total), fc.nat(total + 10), async (a, b) => {
        const range = { start: Math.min(a, b), end: Math.max(a, b) };
        expect((await collect(read(range))).equals(backup.stored.subarray(range.start, range.end))).toBe(
          true,
        );
      }),
    );
    await expect(collect(read({ start: total + 1, end: total + 2 }))).rejects.toMatchObject({
      code: 'BadRequest',
    });
  });

  test('read what they need in one request, from a chunk boundary', async () => {
    const asked: ByteRange[] = [];
    const counted = (range: ByteRange) => {
      asked.push(range);
      return readerOf(backup.stored)(range);
    };
    const range = { start: 2500, end: 3500 };
    await collect(
      verifiedChunks({
        manifest: backup.manifest,
        sources: [{ name: 'store', read: counted }],
        range,
        signal: never,
      }),
    );
    expect(asked).toEqual([{ start: 2000, end: 4000 }]);
  });

  test('are refused at the end when the digest of the whole is not right', async () => {
    const manifest = { data: { ...backup.manifest.data, sha256: other.manifest.data.sha256 } };
    const chunks = verifiedChunks({
      manifest,
      sources: [{ name: 'store', read: readerOf(backup.stored) }],
      signal: never,
    });
    await expect(collect(chunks)).rejects.toMatchObject({ code: 'BackupDamaged' });
  });

  test('pass on an error of the store, and free the stream when the reader leaves or the signal aborts', async () => {
    const unavailable = new ForestayError('StoreUnavailable', 'the store does not answer');
    const failing = verifiedChunks({
      manifest: backup.manifest,
      sources: [
        {
          name: 'store',
          read: async () =>
            new Readable({
              read() {
                this.destroy(unavailable);
              },
            }),
        },
      ],
      signal: never,
    });
    await expect(collect(failing)).rejects.toBe(unavailable);

    const streams: Readable[] = [];
    const silent = async () => {
      const stream = new Readable({ read() {} });
      if (streams.push(stream) === 1) stream.push(backup.stored.subarray(0, 1500));
      return stream;
    };
    for await (const _ of verifiedChunks({
      manifest: backup.manifest,
      sources: [{ name: 'store', read: silent }],
      signal: never,
    }))
      break;
    const signal = AbortSignal.timeout(20);
    await expect(
      collect(
        verifiedChunks({ manifest: backup.manifest, sources: [{ name: 'store', read: silent }], signal }),
      ),
    ).rejects.toMatchObject({
      code: 'Canceled',
    });
    const keys = await verifyManifest(backup.manifest, passphrase);
    const chunks = verifiedChunks({
      manifest: backup.manifest,
      sources: [{ name: 'store', read: silent }],
      signal: never,
    });
    const opened = openData({ chunks, manifest: backup.manifest, keys, signal: never });
    opened.resume();
    await expect.poll(() => streams.length).toBe(3);
    opened.destroy();
    await new Promise((resolve) => opened.once('close', resolve));
    expect(streams.map((stream) => stream.destroyed)).toEqual([true, true, true]);
  });
});
