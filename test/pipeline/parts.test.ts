import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makePartMemory } from '../../src/pipeline/part-memory.ts';
import { type Part, partsOf } from '../../src/pipeline/parts.ts';

const never = new AbortController().signal;

describe('parts of a source', () => {
  it('hold its bytes in order, all but the last of one length, each with its MD5', async () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 700 }), async (pieces, partBytes) => {
        const parts = await all(pieces, partBytes);
        expect(Buffer.concat(parts.map(({ bytes }) => bytes))).toEqual(Buffer.concat(pieces));
        for (const { bytes } of parts.slice(0, -1)) expect(bytes).toHaveLength(partBytes);
        for (const { bytes, md5 } of parts) expect(md5).toEqual(createHash('md5').update(bytes).digest());
        const size = Buffer.concat(pieces).length;
        expect(parts).toHaveLength(Math.max(1, Math.ceil(size / partBytes)));
      }),
    );
  });

  it('use the memory of parts that were released', async () => {
    const memory = makePartMemory();
    const seen = new Set<ArrayBufferLike>();
    async function* source() {
      for (let sent = 0; sent < 50; sent++) yield Buffer.alloc(100_000, sent);
    }
    for await (const part of partsOf(source(), 200_000, memory, never)) {
      seen.add(part.bytes.buffer);
      part.release();
    }
    // The first begins in a small buffer, which is not kept.
    expect(seen.size).toBe(1);
  });
});

async function all(pieces: readonly Uint8Array[], partBytes: number): Promise<Part[]> {
  async function* source() {
    yield* pieces;
  }
  const parts: Part[] = [];
  for await (const part of partsOf(source(), partBytes, makePartMemory(), never)) parts.push(part);
  return parts;
}
