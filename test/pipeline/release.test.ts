import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { createZstdCompress, zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { frugal, handOver, release } from '../../src/pipeline/release.ts';

const wasFreed = (bytes: Uint8Array) => bytes.buffer.byteLength === 0;

test('bytes that were handed over are freed when they are released', () => {
  const bytes = handOver(Buffer.alloc(100_000));
  release(bytes);
  expect(wasFreed(bytes)).toBe(true);
});

test('bytes that nobody handed over stay', () => {
  const bytes = Buffer.alloc(100_000, 'x');
  release(bytes);
  expect(bytes.toString()).toBe('x'.repeat(100_000));
});

test('a part of larger memory, as of the pool of small buffers, is never handed over', () => {
  const part = handOver(Buffer.from('small'));
  release(part);
  expect(part.toString()).toBe('small');
});

test('of bytes in pieces the last one frees the whole', () => {
  const bytes = handOver(Buffer.alloc(100_000));
  release(bytes.subarray(0, 50_000));
  expect(wasFreed(bytes)).toBe(false);
  release(bytes.subarray(50_000));
  expect(wasFreed(bytes)).toBe(true);
});

test('a frugal stage puts out the same bytes, frees its input, and its output when that is released', async () => {
  const inputs = Array.from({ length: 8 }, () => handOver(randomBytes(100_000)));
  const expected = Buffer.concat(inputs);
  const stage = frugal(createZstdCompress({ chunkSize: 64 * 1024 }));
  const pieces: Buffer[] = [];
  const outputs: Buffer[] = [];
  for await (const piece of Readable.from(inputs).pipe(stage)) {
    pieces.push(Buffer.from(piece));
    outputs.push(piece);
    release(piece);
  }
  expect(zstdDecompressSync(Buffer.concat(pieces)).equals(expected)).toBe(true);
  expect(outputs.filter(wasFreed).length).toBeGreaterThan(8);
  expect(inputs.every(wasFreed)).toBe(true);
});
