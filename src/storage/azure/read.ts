import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { type Opened as AnyOpened, resumedStream } from '../../pipeline/resumed-stream.ts';
import type { GetOptions, ObjectInfo } from '../object-store.ts';
import { blobOf, type Container, request } from './container.ts';
import { isMissing, notLikeAzure, objectMissing, statusOf, storeError } from './errors.ts';
import { readMetadata } from './names.ts';

/** What is known of a blob, and which put made it. */
export interface Found extends ObjectInfo {
  readonly etag: string;
  readonly putId: string | undefined;
  /** Then there is no object. */
  readonly isPlaceholder: boolean;
}

export async function headObject(
  container: Container,
  key: string,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const found = await headBlob(container, key, signal);
  return found?.isPlaceholder ? undefined : found;
}

/** Placeholders as well. */
export async function headBlob(
  container: Container,
  key: string,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const found = await request<Found, 'missing'>(
    container,
    { signal },
    async (abortSignal) => {
      const answer = await blobOf(container, key).getProperties({ abortSignal });
      const { contentLength, lastModified, etag } = answer;
      if (contentLength === undefined || !lastModified || !etag)
        throw notLikeAzure(container.name, `says neither size nor date of ${key}`);
      const { putId, isPlaceholder } = readMetadata(answer.metadata);
      return { key, size: contentLength, modifiedAt: lastModified, etag, putId, isPlaceholder };
    },
    (error) => (isMissing(error) ? 'missing' : undefined),
  );
  return found === 'missing' ? undefined : found;
}

/** Resolves when the answer has begun. A range that begins at or beyond the end of the object is empty. */
export async function getObject(
  container: Container,
  key: string,
  { range, signal }: GetOptions,
): Promise<Readable> {
  signal.throwIfAborted();
  const start = range?.start ?? 0;
  const end = range?.end ?? Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new ForestayError(
      'BadRequest',
      'Not a range of bytes: it must begin at 0 or later and not end before its start.',
    );
  }
  // HTTP has no words for an empty range; that the object is there is asked all the same.
  const first =
    start === end
      ? await openNothing(container, key, signal)
      : await openRange(container, key, { start, end }, signal);
  const openRest = async (done: number) => {
    const rest = { start: start + done, end: start + first.length };
    const opened = await openRange(container, key, rest, signal, first.etag);
    if (opened.length === first.length - done && opened.etag === first.etag) return opened;
    opened.body?.destroy();
    throw changed(key);
  };
  return resumedStream(first, {
    signal,
    repeat: container.repeat,
    silenceMs: container.silenceMs,
    openRest,
    errors: {
      silent: () => tooSilent(container),
      tooShort: () => notLikeAzure(container.name, 'ended its answer too early'),
      tooLong: () => tooLong(container),
    },
    translate: (error) => storeError(container.name, error),
  });
}

interface Opened extends AnyOpened {
  readonly etag: string | undefined;
}

async function openNothing(container: Container, key: string, signal: AbortSignal): Promise<Opened> {
  if (!(await headObject(container, key, signal))) throw objectMissing(key);
  return { body: undefined, length: 0, etag: undefined };
}

/** `ifMatch`: only of the object that has this ETag; throws `BackupDamaged` where it is another one by now. */
async function openRange(
  container: Container,
  key: string,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
  ifMatch?: string,
): Promise<Opened> {
  const count = end === Number.MAX_SAFE_INTEGER ? undefined : end - start;
  const answer = await request(
    container,
    { signal },
    (abortSignal) =>
      blobOf(container, key).download(start, count, {
        abortSignal,
        maxRetryRequests: 0,
        conditions: ifMatch === undefined ? {} : { ifMatch },
      }),
    (error) => {
      if (isMissing(error)) throw objectMissing(key);
      if (statusOf(error) === 412) throw changed(key);
      return statusOf(error) === 416 ? ('beyond' as const) : undefined;
    },
  );
  if (answer === 'beyond') return await openBeyond(container, key, signal, ifMatch);
  const body = answer.readableStreamBody as Readable | undefined;
  try {
    if (readMetadata(answer.metadata).isPlaceholder) throw objectMissing(key);
    const { contentLength: length, contentRange, etag } = answer;
    if (!body || length === undefined) throw notLikeAzure(container.name, `sent no bytes of ${key}`);
    if (length > end - start) throw notLikeAzure(container.name, `sent more of ${key} than it was asked for`);
    const sentFrom = Number(/^bytes (\d+)-/.exec(contentRange ?? 'bytes 0-')?.[1] ?? Number.NaN);
    if (sentFrom !== start)
      throw notLikeAzure(container.name, `sent another range of ${key} than it was asked for`);
    return { body, length, etag };
  } catch (error) {
    body?.on('error', () => {}).destroy();
    throw error;
  }
}

/** Also of a placeholder every range is beyond its end. */
async function openBeyond(
  container: Container,
  key: string,
  signal: AbortSignal,
  etag: string | undefined,
): Promise<Opened> {
  const nothing = await openNothing(container, key, signal);
  return { ...nothing, etag };
}

function changed(key: string): ForestayError {
  return new ForestayError(
    'BackupDamaged',
    `The object ${key} in the store was replaced while it was read.`,
    { hint: 'Nothing but Forestay may change objects below the prefix of the store.' },
  );
}

function tooSilent(container: Container): ForestayError {
  return new ForestayError(
    'StoreTimeout',
    `The store ${container.name} stopped in the middle of an object.`,
    { hint: 'Check the network and the load of the store.' },
  );
}

function tooLong(container: Container): ForestayError {
  return new ForestayError(
    'BackupDamaged',
    `The store ${container.name} sent more bytes than the object has.`,
  );
}
