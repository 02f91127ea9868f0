import type { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import type { GetOptions, ObjectInfo } from '../object-store.ts';
import { type Opened, streamOf } from './body-stream.ts';
import { assertBucket, type Bucket, request } from './bucket.ts';
import { isAnswer, notLikeS3, objectMissing, statusOf } from './errors.ts';

/** What is known of an object, and which put made it. */
export interface Found extends ObjectInfo {
  readonly etag: string | undefined;
  readonly putId: string | undefined;
}

/** The name of the metadata that says which put made an object. */
export const putIdName = 'forestay-put';

export async function headObject(
  bucket: Bucket,
  key: string,
  signal: AbortSignal,
): Promise<Found | undefined> {
  const { bucket: Bucket, prefix } = bucket.location;
  const found = await request<Found, 'missing'>(
    bucket,
    { signal },
    async (abortSignal) => {
      const answer = await bucket.client.send(new HeadObjectCommand({ Bucket, Key: prefix + key }), {
        abortSignal,
      });
      if (answer.ContentLength === undefined || !answer.LastModified)
        throw notLikeS3(bucket.name, `says neither size nor date of ${key}`);
      return {
        key,
        size: answer.ContentLength,
        modifiedAt: answer.LastModified,
        etag: answer.ETag,
        putId: answer.Metadata?.[putIdName],
      };
    },
    (error) => (statusOf(error) === 404 ? 'missing' : undefined),
  );
  if (found !== 'missing') return found;
  await assertBucket(bucket, signal);
  return undefined;
}

/** Resolves when the answer has begun. A range that begins at or beyond the end of the object is empty. */
export async function getObject(
  bucket: Bucket,
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
      ? await openNothing(bucket, key, signal)
      : await openRange(bucket, key, { start, end }, signal);
  const rest = async (done: number) => {
    const opened = await openRange(
      bucket,
      key,
      { start: start + done, end: start + first.length },
      signal,
      first.etag,
    );
    if (opened.length === first.length - done && opened.etag === first.etag) return opened;
    opened.body?.destroy();
    throw changed(key);
  };
  return streamOf(bucket, first, rest, signal);
}

async function openNothing(bucket: Bucket, key: string, signal: AbortSignal): Promise<Opened> {
  if (!(await headObject(bucket, key, signal))) throw objectMissing(key);
  return { body: undefined, length: 0, etag: undefined };
}

/** `ifMatch`: only of the object that has this ETag; throws `BackupDamaged` where it is another one by now. */
async function openRange(
  bucket: Bucket,
  key: string,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
  ifMatch?: string,
): Promise<Opened> {
  const isOpen = end === Number.MAX_SAFE_INTEGER;
  const input = {
    Bucket: bucket.location.bucket,
    Key: bucket.location.prefix + key,
    // Also where the whole is wanted: such an answer says twice how long it is.
    Range: `bytes=${start}-${isOpen ? '' : end - 1}`,
    ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
  };
  const answer = await request(
    bucket,
    { signal },
    (abortSignal) => bucket.client.send(new GetObjectCommand(input), { abortSignal }),
    (error) => {
      if (isAnswer(error, 'NoSuchKey') || (statusOf(error) === 404 && !isAnswer(error, 'NoSuchBucket')))
        throw objectMissing(key);
      if (statusOf(error) === 412) throw changed(key);
      return statusOf(error) === 416 ? ('beyond' as const) : undefined;
    },
  );
  if (answer === 'beyond') return { body: undefined, length: 0, etag: ifMatch };
  const body = answer.Body as Readable | undefined;
  try {
    if (!body) throw notLikeS3(bucket.name, `sent no bytes of ${key}`);
    if (!answer.ETag) throw notLikeS3(bucket.name, `does not say which ${key} it sent: there is no ETag`);
    const length = answer.ContentLength ?? (await lengthOf(bucket, key, { start, end }, signal));
    const told = lengthOfRange(answer.ContentRange);
    if (told !== undefined && told !== length)
      throw notLikeS3(bucket.name, `says two lengths of one range of ${key}`);
    if (startsAt(answer.ContentRange, start)) {
      if (length > end - start) throw notLikeS3(bucket.name, `sent more of ${key} than it was asked for`);
      return { body, length, etag: answer.ETag };
    }
    // Without Content-Range it is the whole object, as some servers answer to a range that asks for all of it.
    if (answer.ContentRange === undefined && start === 0 && length <= end)
      return { body, length, etag: answer.ETag };
    throw notLikeS3(bucket.name, `sent another range of ${key} than it was asked for`);
  } catch (error) {
    body?.destroy();
    throw error;
  }
}

/** A proxy may have taken the length out of the answer. Without one a cut-off body would look whole. */
async function lengthOf(
  bucket: Bucket,
  key: string,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
): Promise<number> {
  const found = await headObject(bucket, key, signal);
  if (!found) throw objectMissing(key);
  return Math.max(0, Math.min(end, found.size) - start);
}

/** Bytes, where the answer tells which it is of. */
function lengthOfRange(contentRange: string | undefined): number | undefined {
  const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(contentRange ?? '') ?? [];
  return first === undefined ? undefined : Number(last) - Number(first) + 1;
}

function startsAt(contentRange: string | undefined, start: number): boolean {
  return Number(/^bytes (\d+)-/.exec(contentRange ?? '')?.[1] ?? Number.NaN) === start;
}

function changed(key: string): ForestayError {
  return new ForestayError(
    'BackupDamaged',
    `The object ${key} in the store was replaced while it was read.`,
    {
      hint: 'Nothing but Forestay may change objects below the prefix of the store.',
    },
  );
}
