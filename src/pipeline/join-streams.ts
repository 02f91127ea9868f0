import { pipeline, Readable, Transform } from 'node:stream';
import { onAbort } from './abort.ts';

/**
 * Bytes a stage may hold before it makes the one before it wait: enough to keep all stages busy at once. Twice as many are no
 * faster, and cost 30 MB when eight backups are made at once.
 */
export const stageBuffer = 512 * 1024;

export interface JoinOptions {
  readonly signal?: AbortSignal;
  /** Puts what a stage threw into the words of the catalogue; must leave alone what it does not know. */
  readonly translate?: (error: Error) => Error;
}

/**
 * The output of a chain of stages as one stream, which fails with the first error of any of them and ends cleanly only
 * after every one did. Its failure, its abort and a reader that stops early destroy the source; it emits 'close' after
 * the source did.
 */
export function joinStreams(
  source: Readable,
  stages: readonly Transform[],
  options: JoinOptions = {},
): Readable {
  const last = stages.at(-1) ?? source;
  const joined = new Readable({
    highWaterMark: stageBuffer,
    read() {
      last.resume();
    },
    destroy(error, callback) {
      last.destroy(error ?? undefined);
      source.destroy(error ?? undefined);
      whenClosed(source).then(() => callback(error));
    },
  });
  // It may fail before its reader is there; the reader gets the error all the same.
  joined.on('error', () => {});
  last.on('data', (chunk: Buffer) => {
    if (!joined.push(chunk)) last.pause();
  });
  last.pause();
  let ended = false;
  let piped = false;
  const endWhenBoth = () => {
    if (ended && piped) joined.push(null);
  };
  last.once('end', () => {
    ended = true;
    endWhenBoth();
  });
  const settle = (error: NodeJS.ErrnoException | null | undefined) => {
    if (error) joined.destroy(options.translate?.(error) ?? error);
    piped = true;
    endWhenBoth();
  };
  if (stages.length === 0) throw new Error('nothing to join');
  pipeline([source, ...stages], settle);
  joined.once(
    'close',
    onAbort(options.signal, (error) => joined.destroy(error)),
  );
  return joined;
}

/** A stage that turns each piece of bytes into another; `flush` may add some at the end, or throw to fail the stream. */
export function mapBytes(map: (bytes: Buffer) => Buffer, flush?: () => Buffer | undefined): Transform {
  return new Transform({
    highWaterMark: stageBuffer,
    transform(bytes: Buffer, _encoding, callback) {
      attempt(() => map(bytes), callback);
    },
    flush(callback) {
      attempt(() => flush?.(), callback);
    },
  });
}

function attempt(
  work: () => Buffer | undefined,
  callback: (error?: Error | null, bytes?: Buffer) => void,
): void {
  let bytes: Buffer | undefined;
  try {
    bytes = work();
  } catch (error) {
    callback(error as Error);
    return;
  }
  callback(null, bytes?.length ? bytes : undefined);
}

export function whenClosed(stream: Readable): Promise<void> {
  return stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once('close', () => resolve()));
}
