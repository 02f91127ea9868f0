import { createHash, type Hash } from 'node:crypto';
import type { PartMemory } from './part-memory.ts';
import { release } from './release.ts';
import { untilAborted } from './until-aborted.ts';

/** Where the first part begins, so that small objects stay small. What does not fit gets a whole one at once: growing step by step would leave as much behind. */
const smallestBuffer = 64 * 1024;

export interface Part {
  readonly bytes: Buffer;
  /** MD5 (RFC 1321) of the bytes. Made while they come in: made at once it would hold up all other work, 2 ms for each MiB. */
  readonly md5: Buffer;
  /** Gives the memory back for a later part. */
  release(): void;
}

/**
 * Cuts a source into parts of `partBytes`; only the last may be shorter, and an empty source is one empty part. A source ends, or
 * is closed, as `untilAborted` says. Buffers come from the memory, and go back to it.
 */
export async function* partsOf(
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
  memory: PartMemory,
  signal: AbortSignal,
): AsyncGenerator<Part> {
  let buffer: Buffer | undefined;
  let hash: Hash = createHash('md5');
  let filled = 0;
  let isFirst = true;

  const take = (): Part => {
    const whole = buffer ?? Buffer.alloc(0);
    const part = {
      bytes: whole.subarray(0, filled),
      md5: hash.digest(),
      release: () => {
        if (whole.length === partBytes) memory.give(whole);
      },
    };
    buffer = undefined;
    hash = createHash('md5');
    filled = 0;
    isFirst = false;
    return part;
  };

  for await (const chunk of untilAborted(source, signal)) {
    for (let at = 0; at < chunk.length; ) {
      buffer ??= isFirst
        ? Buffer.allocUnsafeSlow(Math.min(smallestBuffer, partBytes))
        : memory.take(partBytes);
      if (filled === buffer.length) {
        const small = buffer;
        buffer = memory.take(partBytes);
        small.copy(buffer);
      }
      const piece = chunk.subarray(at, at + buffer.length - filled);
      buffer.set(piece, filled);
      hash.update(piece);
      filled += piece.length;
      at += piece.length;
      if (filled < partBytes) continue;
      yield take();
      signal.throwIfAborted();
    }
    release(chunk);
  }
  if (filled > 0 || isFirst) yield take();
}
