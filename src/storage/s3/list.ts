import { ListObjectsV2Command, type ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { assertPrefix, isKey } from '../../core/object-key.ts';
import type { ObjectInfo } from '../object-store.ts';
import { type Bucket, request } from './bucket.ts';
import { notLikeS3 } from './errors.ts';

/** What S3 gives at most. */
const pageSize = 1000;

/** Every object, page by page; what has a name that no key has is no object. */
export async function* listObjects(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  assertPrefix(prefix);
  for await (const object of listNames(bucket, bucket.location.prefix + prefix, signal)) {
    const key = object.key.slice(bucket.location.prefix.length);
    if (isKey(key)) yield { ...object, key };
  }
}

/**
 * Every name in the bucket that begins with the text. A list that ends early looks like missing backups, so the end is
 * believed only where the page leaves room for more, and a server that goes round in circles is an error.
 */
export async function* listNames(
  bucket: Bucket,
  text: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  let from: { ContinuationToken?: string; StartAfter?: string } = {};
  let lastOfPage = '';
  for (let first = true; ; first = false) {
    const ask = () => askForPage(bucket, text, from, signal);
    // Whoever wraps the store repeats the first page: nothing has been handed out yet.
    const page = first ? await ask() : await bucket.repeat(ask, signal);
    const objects = objectsOf(bucket, page, text);
    const last = objects.at(-1)?.key;
    if (last !== undefined && last === lastOfPage)
      throw notLikeS3(bucket.name, 'gives the same page of a list again');
    yield* objects;
    lastOfPage = last ?? lastOfPage;

    const token = page.NextContinuationToken;
    const truncated = page.IsTruncated === true || (token !== undefined && token !== '');
    if (!truncated && (page.Contents?.length ?? 0) < pageSize) return;
    if (token !== undefined && token !== '') {
      if (token === from.ContinuationToken)
        throw notLikeS3(bucket.name, 'gives the same page of a list again');
      from = { ContinuationToken: token };
    } else if (lastOfPage === '') {
      throw notLikeS3(bucket.name, 'says that a list goes on and not where');
    } else {
      if (from.StartAfter === lastOfPage && truncated)
        throw notLikeS3(bucket.name, 'says that a list goes on and not where');
      from = { StartAfter: lastOfPage };
    }
  }
}

async function askForPage(
  bucket: Bucket,
  text: string,
  from: { ContinuationToken?: string; StartAfter?: string },
  signal: AbortSignal,
): Promise<ListObjectsV2CommandOutput> {
  const command = new ListObjectsV2Command({
    Bucket: bucket.location.bucket,
    Prefix: text,
    MaxKeys: pageSize,
    // Names of others may hold what XML cannot.
    EncodingType: 'url',
    ...from,
  });
  return request<ListObjectsV2CommandOutput>(bucket, { signal }, (abortSignal) =>
    bucket.client.send(command, { abortSignal }),
  );
}

function objectsOf(bucket: Bucket, page: ListObjectsV2CommandOutput, text: string): ObjectInfo[] {
  // Every page says whether there are more. An empty one that does not is no page: a list that looks empty is lost backups.
  if (page.IsTruncated === undefined && page.Contents === undefined && page.KeyCount === undefined)
    throw notLikeS3(bucket.name, 'answered a list with nothing');
  const objects: ObjectInfo[] = [];
  for (const { Key, Size, LastModified } of page.Contents ?? []) {
    if (Key === undefined || Size === undefined || !LastModified)
      throw notLikeS3(bucket.name, 'lists objects without name, size or date');
    const key = page.EncodingType === 'url' ? decodeURIComponent(Key.replaceAll('+', ' ')) : Key;
    if (key.startsWith(text)) objects.push({ key, size: Size, modifiedAt: LastModified });
  }
  return objects;
}
