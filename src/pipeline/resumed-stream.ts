import { Readable } from 'node:stream';
import type { Repeat } from '../core/repeat.ts';
import { orAborted } from './until-aborted.ts';

/** An answer whose bytes have not been read yet. */
export interface Opened {
  /** Undefined where there are no bytes. */
  readonly body: Readable | undefined;
  /** Bytes that the body must have. */
  readonly length: number;
}

export interface ResumeOptions {
  readonly signal: AbortSignal;
  readonly repeat: Repeat;
  /** Milliseconds that the sender may be silent while somebody waits. */
  readonly silenceMs: number;
  /** The rest of the bytes, after so many of them. */
  readonly openRest: (done: number) => Promise<Opened>;
  /** What the reader is told when the sender falls silent, ends too early, or sends too much. */
  readonly errors: { silent(): Error; tooShort(): Error; tooLong(): Error };
  readonly translate: (error: unknown) => unknown;
}

/**
 * The bytes of an answer. When the connection breaks half-way, or falls silent, `openRest` opens the rest (if `repeat` repeats). A
 * connection may well break without anybody's fault: servers end those whose reader is slow. Fails when the body is not as long as
 * it should be.
 */
export function resumedStream(
  first: Opened,
  { signal, repeat, silenceMs, openRest, errors, translate }: ResumeOptions,
): Readable {
  let body: Readable | undefined = first.body;
  let bytes = body && iteratorOf(body);
  let done = 0;
  const closed = new AbortController();
  const ended = AbortSignal.any([signal, closed.signal]);

  const letGo = () => {
    body?.destroy();
    body = undefined;
    bytes = undefined;
  };
  const next = async (): Promise<Buffer | undefined> => {
    if (done === first.length) return undefined;
    if (!bytes) {
      body = (await openRest(done)).body;
      if (closed.signal.aborted) letGo();
      closed.signal.throwIfAborted();
      bytes = body && iteratorOf(body);
    }
    try {
      const result = await within(silenceMs, errors.silent, bytes?.next());
      if (!result || result.done) throw errors.tooShort();
      done += result.value.length;
      if (done > first.length) throw errors.tooLong();
      return result.value;
    } catch (error) {
      letGo();
      throw translate(error);
    }
  };
  const stream = new Readable({
    // Half of it is what the answer itself holds back.
    highWaterMark: 256 * 1024,
    read() {
      orAborted(repeat(next, ended), ended).then(
        (chunk) => void this.push(chunk ?? null),
        (error: Error) => void this.destroy(error),
      );
    },
    destroy(error, finish) {
      signal.removeEventListener('abort', abort);
      closed.abort();
      letGo();
      finish(error);
    },
  });
  const abort = () => stream.destroy(signal.reason instanceof Error ? signal.reason : new Error('Aborted'));
  // Who reads the stream gets the error. Without this an abort before anybody reads would end the process.
  stream.on('error', () => {});
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  return stream;
}

function iteratorOf(body: Readable): AsyncIterator<Buffer> {
  // Between two reads nobody listens; the next read gets the error.
  body.on('error', () => {});
  return body.iterator({ destroyOnReturn: true }) as AsyncIterator<Buffer>;
}

/** Only the time that the reader really waits counts: a slow reader is not a silent sender. */
async function within<T>(
  ms: number,
  error: () => Error,
  reading: Promise<T> | undefined,
): Promise<T | undefined> {
  if (!reading) return undefined;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(error()), ms);
  try {
    return await orAborted(reading, silence.signal);
  } finally {
    clearTimeout(timer);
  }
}
