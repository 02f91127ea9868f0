import type { PartMemory } from './part-memory.ts';
import { release } from './release.ts';
import { untilAborted } from './until-aborted.ts';

/** Where the first part begins, so that small objects stay small. What does not fit gets a whole one at once: growing step by step would leave as much behind. */
const smallestBuffer = 64 * 1024;

export interface Part {
  readonly bytes: Buffer;
  /** Gives the memory back for a later part. */
  release(): void;
}

/**
 * Cuts a source into parts of `partBytes`; only the last may be shorter, and an empty source has none. A source ends, or is
 * closed, as `untilAborted` says. Buffers come from the memory, and go back to it.
 */
export async function* partsOf(
  source: AsyncIterable<Uint8Array>,
  partBytes: number,
  memory: PartMemory,
  signal: AbortSignal,
): AsyncGenerator<Part> {
  let buffer: Buffer | undefined;
  let filled = 0;
  let isFirst = true;

  const take = () => {
    const whole = buffer!;
    const part = {
      bytes: whole.subarray(0, filled),
      release: () => {
        if (whole.length === partBytes) memory.give(whole);
      },
    };
    buffer = undefined;
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
      filled += piece.length;
      at += piece.length;
      if (filled < partBytes) continue;
      yield take();
      signal.throwIfAborted();
    }
    release(chunk);
  }
  if (filled > 0) yield take();
}
