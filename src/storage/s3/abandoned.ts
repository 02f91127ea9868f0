import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  type MultipartUpload,
} from '@aws-sdk/client-s3';
import { isKey } from '../../core/object-key.ts';
import type { AbandonedPutsOptions } from '../object-store.ts';
import { type Bucket, probePrefix, request } from './bucket.ts';
import { deleteOne } from './delete.ts';
import { isAnswer, notLikeS3, statusOf } from './errors.ts';
import { listNames } from './list.ts';

/**
 * Aborts multipart uploads of our keys below the prefix that began before `before`, but for those this process is at; resolves
 * with how many. Where the server cannot list them it resolves with 0: such a server needs a rule of its own that removes them.
 * What was put to find out what the server can is worth nothing to anybody, and goes whoever put it.
 */
export async function removeAbandonedPuts(
  bucket: Bucket,
  { before, isOurs, signal }: AbandonedPutsOptions,
): Promise<number> {
  let removed = 0;
  const { prefix } = bucket.location;
  for await (const { Key = '', UploadId, Initiated } of listUploads(bucket, signal)) {
    if (!Key.startsWith(prefix)) continue;
    const key = Key.slice(prefix.length);
    if (!key.startsWith(probePrefix) && !(isKey(key) && isOurs(key))) continue;
    if (!UploadId || !Initiated || Initiated >= before || bucket.uploads.has(UploadId)) continue;
    await bucket.repeat(() => abortUpload(bucket, Key, UploadId, signal), signal);
    removed += 1;
  }
  for await (const { key, modifiedAt } of listNames(bucket, prefix + probePrefix, signal)) {
    if (modifiedAt < before) await deleteOne(bucket, key, signal);
  }
  return removed;
}

/** Ends an upload; one that is not there any more is no error. */
export async function abortUpload(
  bucket: Bucket,
  name: string,
  uploadId: string,
  signal: AbortSignal,
): Promise<void> {
  const command = new AbortMultipartUploadCommand({
    Bucket: bucket.location.bucket,
    Key: name,
    UploadId: uploadId,
  });
  await request(
    bucket,
    { signal },
    (abortSignal) => bucket.client.send(command, { abortSignal }).then(() => true),
    (error) => (statusOf(error) === 404 && !isAnswer(error, 'NoSuchBucket') ? true : undefined),
  );
}

async function* listUploads(bucket: Bucket, signal: AbortSignal): AsyncGenerator<MultipartUpload> {
  let from: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (;;) {
    const command = new ListMultipartUploadsCommand({
      Bucket: bucket.location.bucket,
      Prefix: bucket.location.prefix,
      ...from,
    });
    const ask = () =>
      request<ListMultipartUploadsCommandOutput, 'unsupported'>(
        bucket,
        { signal },
        (abortSignal) => bucket.client.send(command, { abortSignal }),
        (error) => (isAnswer(error, 'NotImplemented') || statusOf(error) === 501 ? 'unsupported' : undefined),
      );
    // As with lists: the first page is repeated by whoever wraps the store.
    const page = from.KeyMarker === undefined ? await ask() : await bucket.repeat(ask, signal);
    if (page === 'unsupported') return;
    yield* page.Uploads ?? [];
    if (!page.IsTruncated) return;
    const { NextKeyMarker, NextUploadIdMarker } = page;
    if (!NextKeyMarker || (NextKeyMarker === from.KeyMarker && NextUploadIdMarker === from.UploadIdMarker))
      throw notLikeS3(bucket.name, 'says that a list of uploads goes on and not where');
    from = {
      KeyMarker: NextKeyMarker,
      ...(NextUploadIdMarker ? { UploadIdMarker: NextUploadIdMarker } : {}),
    };
  }
}
