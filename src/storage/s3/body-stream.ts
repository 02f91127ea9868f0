import { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { orAborted } from '../../pipeline/until-aborted.ts';
import type { Bucket } from './bucket.ts';
import { notLikeS3, storeError } from './errors.ts';

/** An answer whose bytes have not been read yet. */
export interface Opened {
  /** Undefined where there are no bytes. */
  readonly body: Readable | undefined;
  /** Bytes that the body must have. */
  readonly length: number;
  readonly etag: string | undefined;
}

/**
 * The bytes of a get. When the connection breaks half-way, or falls silent, `openRest` opens the rest (if the store has a
 * `repeat`). A connection may well break without anybody's fault: servers end those whose reader is slow. Fails when the body
 * is not as long as it should be.
 */
export function streamOf(
  bucket: Bucket,
  first: Opened,
  openRest: (done: number) => Promise<Opened>,
  signal: AbortSignal,
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
      const result = await within(bucket, bytes?.next());
      if (!result || result.done) throw notLikeS3(bucket.name, 'ended its answer too early');
      done += result.value.length;
      if (done > first.length) throw tooLong(bucket);
      return result.value;
    } catch (error) {
      letGo();
      throw storeError(bucket.name, error);
    }
  };
  const stream = new Readable({
    // Half of it is what the answer itself holds back.
    highWaterMark: 256 * 1024,
    read() {
      orAborted(bucket.repeat(next, ended), ended).then(
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

/** Only the time that the reader really waits counts: a slow reader is not a silent store. */
async function within<T>(bucket: Bucket, reading: Promise<T> | undefined): Promise<T | undefined> {
  if (!reading) return undefined;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(tooSilent(bucket)), bucket.silenceMs);
  try {
    return await orAborted(reading, silence.signal);
  } finally {
    clearTimeout(timer);
  }
}

function tooSilent(bucket: Bucket): ForestayError {
  return new ForestayError('StoreTimeout', `The store ${bucket.name} stopped in the middle of an object.`, {
    hint: 'Check the network and the load of the store.',
  });
}

function tooLong(bucket: Bucket): ForestayError {
  return new ForestayError('BackupDamaged', `The store ${bucket.name} sent more bytes than the object has.`);
}
