import { createHash, type Hash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { ForestayError } from '../core/errors.ts';
import type { Manifest } from '../core/manifest.ts';
import { abortError, onAbort } from './abort.ts';
import { damaged } from './damage.ts';
import { handOver, release } from './release.ts';

/** Bytes of an object: the first, and the one after the last. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** An object that should hold the data of a backup. */
export interface ChunkSource {
  /** For people: in which store it is. */
  readonly name: string;
  /** Reads the stored object; the `end` it is asked for may lie one byte beyond what the manifest says. */
  readonly read: (range: ByteRange, signal: AbortSignal) => Promise<Readable>;
}

export interface VerifiedChunksOptions {
  readonly manifest: Pick<Manifest, 'data'>;
  /** All copies there are. Where one does not deliver a chunk, or not the right one, the others are asked for it. */
  readonly sources: readonly [ChunkSource, ...ChunkSource[]];
  /** Of the stored object; the whole when absent. */
  readonly range?: ByteRange;
  readonly signal: AbortSignal;
  /** A source did not deliver a chunk. Called again when it fails again. */
  readonly onFailedSource?: (source: ChunkSource, error: unknown) => void;
}

/**
 * The bytes of a stored object, in pieces of at most one chunk, none of which is passed on before the digest of its chunk
 * was right. One sequential request, from the chunk boundary at or before the range, and another one for each change of source;
 * one chunk in memory. When no source delivers a chunk: throws what may pass (a store that is away), else `BackupDamaged` naming
 * the chunk, also when the object is shorter or longer than the manifest says.
 */
export function verifiedChunks(options: VerifiedChunksOptions): AsyncIterable<Buffer> {
  return {
    [Symbol.asyncIterator]() {
      const stop = new AbortController();
      const chunks = readChunks(options, AbortSignal.any([options.signal, stop.signal]));
      return {
        next: () => chunks.next(),
        // A reader that leaves does not wait for a store that is silent.
        return: async () => {
          stop.abort();
          await chunks.return(undefined);
          return { done: true, value: undefined };
        },
      };
    },
  };
}

async function* readChunks(
  options: VerifiedChunksOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const { data } = options.manifest;
  const wanted = {
    start: options.range?.start ?? 0,
    end: Math.min(options.range?.end ?? data.size, data.size),
  };
  if (wanted.start < 0 || wanted.start > wanted.end) {
    throw new ForestayError(
      'BadRequest',
      `The stored backup has ${data.size} bytes; the range asked for is not among them.`,
    );
  }
  if (wanted.start === wanted.end && data.size > 0) return;
  const first = Math.floor(wanted.start / data.chunk_size);
  // An object that should be empty is looked at like a chunk, too.
  const last = Math.max(1, Math.ceil(wanted.end / data.chunk_size));
  const whole = first === 0 && last >= data.chunks.length ? createHash('sha256') : undefined;
  const reader = chunkReader(options, last, signal);
  try {
    for (let index = first; index < last; index++) {
      const chunk = await reader.take(index);
      whole?.update(chunk);
      // The end is proved before the last bytes are passed on, so that nobody acts on a whole that is none.
      if (index === last - 1 && whole && whole.digest('hex') !== data.sha256) {
        throw damaged(
          'The stored data is damaged: every chunk is right, but the digest of the whole is not.',
        );
      }
      const start = index * data.chunk_size;
      const piece = chunk.subarray(Math.max(0, wanted.start - start), wanted.end - start);
      if (piece.length > 0) yield piece;
    }
  } finally {
    reader.close();
  }
}

/** Takes whole chunks one after the other, up to the one before `last`, from whichever source has them right. */
function chunkReader(
  { manifest: { data }, sources, onFailedSource }: VerifiedChunksOptions,
  last: number,
  signal: AbortSignal,
) {
  const reachesEnd = last >= data.chunks.length;
  // One byte more than there may be: a longer object shows itself.
  const end = reachesEnd ? data.size + 1 : last * data.chunk_size;
  let current = sources[0];
  let pieces: PieceReader | undefined;

  const close = () => {
    pieces?.close();
    pieces = undefined;
  };
  const takeFrom = async (source: ChunkSource, index: number) => {
    const start = index * data.chunk_size;
    if (source !== current) close();
    current = source;
    pieces ??= await PieceReader.open(source.read, { start, end }, signal);
    const size = Math.min(data.chunk_size, data.size - start);
    const chunk = await pieces.take(size);
    if (chunk.length < size) throw damaged(tooShort(data, start + chunk.length));
    if (size > 0 && digest(createHash('sha256'), chunk) !== data.chunks[index])
      throw damaged(wrongChunk(data, index));
    if (reachesEnd && index === last - 1 && (await pieces.take(1)).length > 0) {
      throw damaged(
        `The stored data is damaged: it goes on after the ${data.size} bytes that the manifest says.`,
      );
    }
    return chunk;
  };
  return {
    close,
    async take(index: number): Promise<Buffer> {
      const reasons: unknown[] = [];
      for (const source of [current, ...sources.filter((other) => other !== current)]) {
        try {
          return await takeFrom(source, index);
        } catch (error) {
          close();
          if (signal.aborted) throw error;
          reasons.push(error);
          onFailedSource?.(source, error);
        }
      }
      throw reasons.find((reason) => reason instanceof ForestayError && reason.retryable) ?? reasons[0];
    },
  };
}

/** Takes exactly so many bytes off a stream, and leaves the stream when the signal says so. */
class PieceReader {
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Buffer>;
  readonly #signal: AbortSignal;
  readonly #release: () => void;
  #piece: Uint8Array = Buffer.alloc(0);
  #rest: Buffer = Buffer.alloc(0);

  private constructor(stream: Readable, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    stream.on('error', () => {});
    this.#pieces = stream[Symbol.asyncIterator]();
    this.#release = onAbort(signal, (error) => stream.destroy(error));
  }

  static async open(read: ChunkSource['read'], range: ByteRange, signal: AbortSignal): Promise<PieceReader> {
    if (signal.aborted) throw abortError(signal);
    return new PieceReader(await read(range, signal), signal);
  }

  /** Fewer only where the stream ends. */
  async take(size: number): Promise<Buffer> {
    const taken = Buffer.allocUnsafe(size);
    let filled = 0;
    while (filled < size) {
      if (this.#rest.length === 0) {
        const next = await this.#pieces.next();
        if (this.#signal.aborted) throw abortError(this.#signal);
        if (next.done) break;
        this.#piece = next.value;
        this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
      }
      const copied = this.#rest.copy(taken, filled);
      filled += copied;
      this.#rest = this.#rest.subarray(copied);
      if (this.#rest.length === 0) release(this.#piece);
    }
    return filled === size ? handOver(taken) : taken.subarray(0, filled);
  }

  close(): void {
    this.#release();
    this.#stream.destroy();
  }
}

function digest(hash: Hash, bytes: Uint8Array): string {
  return hash.update(bytes).digest('hex');
}

function wrongChunk(data: Manifest['data'], index: number): string {
  const start = index * data.chunk_size;
  const end = Math.min(start + data.chunk_size, data.size);
  return `The stored data is damaged in chunk ${index + 1} of ${data.chunks.length} (bytes ${start} to ${end - 1}).`;
}

function tooShort(data: Manifest['data'], found: number): string {
  const index = Math.floor(found / data.chunk_size);
  return `The stored data is damaged: it ends after ${found} of ${data.size} bytes, in chunk ${index + 1} of ${data.chunks.length}.`;
}
