import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { type Opened as AnyOpened, resumedStream } from '../../pipeline/resumed-stream.ts';
import type { Bucket } from './bucket.ts';
import { notLikeS3, storeError } from './errors.ts';

/** An answer whose bytes have not been read yet. */
export interface Opened extends AnyOpened {
  readonly etag: string | undefined;
}

/** The bytes of a get; the rest is opened anew when the connection breaks. */
export function streamOf(
  bucket: Bucket,
  first: Opened,
  openRest: (done: number) => Promise<Opened>,
  signal: AbortSignal,
): Readable {
  return resumedStream(first, {
    signal,
    repeat: bucket.repeat,
    silenceMs: bucket.silenceMs,
    openRest,
    errors: {
      silent: () => tooSilent(bucket),
      tooShort: () => notLikeS3(bucket.name, 'ended its answer too early'),
      tooLong: () => tooLong(bucket),
    },
    translate: (error) => storeError(bucket.name, error),
  });
}

function tooSilent(bucket: Bucket): ForestayError {
  return new ForestayError('StoreTimeout', `The store ${bucket.name} stopped in the middle of an object.`, {
    hint: 'Check the network and the load of the store.',
  });
}

function tooLong(bucket: Bucket): ForestayError {
  return new ForestayError('BackupDamaged', `The store ${bucket.name} sent more bytes than the object has.`);
}
