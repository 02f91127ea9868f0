import { execFile, spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeA9s, encodeA9s } from '../../src/pipeline/a9s.ts';
import { passphrases, plaintexts } from './arbitraries.ts';
import { never } from './sealed.ts';

const encode = async (pieces: readonly Uint8Array[], passphrase: string): Promise<Buffer> =>
  Buffer.concat(await encodeA9s(Readable.from(pieces, { objectMode: true }), passphrase, never).toArray());
const decode = async (bytes: Buffer, passphrase: string, pieceSize = 1000): Promise<Buffer> => {
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceSize) }, (_, index) =>
    bytes.subarray(index * pieceSize, (index + 1) * pieceSize),
  );
  return Buffer.concat(await decodeA9s(Readable.from(pieces), passphrase, never).toArray());
};
/** The line of the guide: `openssl enc -aes256 -md md5 -d -pass 'pass:KEY' | gunzip`. */
const asInTheGuide = (bytes: Buffer, passphrase: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const script = 'openssl enc -aes256 -md md5 -d -pass "pass:$0" 2>/dev/null | gunzip';
    const options = { encoding: 'buffer', maxBuffer: 1e8 } as const;
    const child = execFile('bash', ['-o', 'pipefail', '-c', script, passphrase], options, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    );
    child.stdin?.end(bytes);
  });
const encryptWithOpenssl = (bytes: Buffer, passphrase: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const child = spawn('openssl', ['enc', '-aes256', '-md', 'md5', '-pass', `pass:${passphrase}`]);
    child.stdout.toArray().then((pieces) => resolve(Buffer.concat(pieces)), reject);
    child.stdin.end(bytes);
  });

describe('a download', () => {
  test('opens with openssl and gunzip as the guide says, whatever the bytes and the key', async () => {
    await fc.assert(
      fc.asyncProperty(plaintexts, passphrases, async (pieces, passphrase) => {
        const opened = await asInTheGuide(await encode(pieces, passphrase), passphrase);
        expect(opened.equals(Buffer.concat(pieces))).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test('opens with Forestay too, in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        plaintexts,
        passphrases,
        fc.integer({ min: 1, max: 100 }),
        async (pieces, passphrase, size) => {
          const opened = await decode(await encode(pieces, passphrase), passphrase, size);
          expect(opened.equals(Buffer.concat(pieces))).toBe(true);
        },
      ),
    );
  });

  test('what openssl made opens with Forestay, several gzip members included', async () => {
    const zipped = Buffer.concat([gzipSync('one '), gzipSync('two')]);
    expect(
      (await decode(await encryptWithOpenssl(zipped, 'a key of ours'), 'a key of ours')).toString(),
    ).toBe('one two');
  });

  test('fails when its source fails, at whatever moment', async () => {
    for (const pieces of [0, 1, 30]) {
      const failing = Readable.from(
        (async function* () {
          for (let piece = 0; piece < pieces; piece++) yield Buffer.alloc(100_000, piece);
          throw new Error('the backup is damaged');
        })(),
      );
      await expect(encodeA9s(failing, 'a key of ours', never).toArray()).rejects.toThrow(
        'the backup is damaged',
      );
    }
  });

  test('ends its source when the signal aborts or the reader leaves', async () => {
    const endless = () =>
      new Readable({
        read: function (this: Readable) {
          this.push(Buffer.alloc(65_536));
        },
      });
    const [aborted, left] = [endless(), endless()];
    await expect(
      encodeA9s(aborted, 'a key of ours', AbortSignal.timeout(20)).toArray(),
    ).rejects.toMatchObject({ code: 'Canceled' });
    expect(aborted.closed).toBe(true);
    for await (const _ of encodeA9s(left, 'a key of ours', never)) break;
    expect(left.destroyed).toBe(true);
  });
});

describe('opening a downloaded file', () => {
  test('refuses every wrong key, also those whose padding happens to be right', async () => {
    const bytes = await encode([Buffer.alloc(10)], 'the right key');
    for (let wrong = 0; wrong < 2000; wrong++) {
      const error = await decode(bytes, `wrong key ${wrong}`, 1e6).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'EncryptionKeyMismatch' });
    }
  });

  test('refuses every truncation and what is appended', async () => {
    const bytes = await encode(
      [Buffer.from(Array.from({ length: 300 }, (_, row) => `${row * row};`).join(''))],
      'a key of ours',
    );
    for (let size = 0; size < bytes.length; size++) {
      await expect(decode(bytes.subarray(0, size), 'a key of ours')).rejects.toMatchObject({
        name: 'ForestayError',
      });
    }
    for (const more of [1, 16, 32]) {
      await expect(decode(Buffer.concat([bytes, Buffer.alloc(more)]), 'a key of ours')).rejects.toMatchObject(
        {
          code: 'BackupDamaged',
        },
      );
    }
    const trailing = await encryptWithOpenssl(
      Buffer.concat([gzipSync('x'), Buffer.alloc(5)]),
      'a key of ours',
    );
    await expect(decode(trailing, 'a key of ours')).rejects.toMatchObject({ code: 'BackupDamaged' });
    await expect(
      decode(Buffer.from('this is just a text, no backup'), 'a key of ours'),
    ).rejects.toMatchObject({
      code: 'BackupDamaged',
    });
  });
});
