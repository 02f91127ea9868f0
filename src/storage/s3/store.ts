import { GetObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { ForestayError } from '../../core/errors.ts';
import { assertKey, isSegment } from '../../core/object-key.ts';
import type { ObjectStore, PresignOptions } from '../object-store.ts';
import { removeAbandonedPuts } from './abandoned.ts';
import { type Bucket, openBucket, type S3StoreOptions } from './bucket.ts';
import { deleteObjects } from './delete.ts';
import { storeError } from './errors.ts';
import { listObjects } from './list.ts';
import { putObject } from './put.ts';
import { getObject, headObject } from './read.ts';

/**
 * The store that is (a part of) a bucket of Amazon S3 or of a server that speaks like it. Everything below the prefix is the
 * store's. What a `put` has resolved is as durable as the service makes it.
 *
 * `ifAbsent` is decided by the server where it knows `If-None-Match: *`, which is found out at first use. Where it does not,
 * puts of one process take turns; of two processes at the same moment both may win, and the later one's object stays.
 */
export function createS3Store(options: S3StoreOptions): ObjectStore {
  const bucket = openBucket(options);
  return {
    name: bucket.name,
    async put(key, source, { signal, ifAbsent = false }) {
      return putObject(bucket, key, source, { signal, ifAbsent });
    },
    async get(key, { signal, range }) {
      assertKey(key);
      return getObject(bucket, key, range ? { signal, range } : { signal });
    },
    async head(key, signal) {
      assertKey(key);
      const found = await headObject(bucket, key, signal);
      return found && { key, size: found.size, modifiedAt: found.modifiedAt };
    },
    list(prefix, signal) {
      return listObjects(bucket, prefix, signal);
    },
    async delete(keys, signal) {
      for (const key of keys) assertKey(key);
      await deleteObjects(bucket, keys, signal);
    },
    async removeAbandonedPuts(options) {
      return removeAbandonedPuts(bucket, options);
    },
    ...(bucket.location.presign ? { presign: (key, wanted) => presign(bucket, key, wanted) } : {}),
  } satisfies ObjectStore;
}

async function presign(
  bucket: Bucket,
  key: string,
  { ttlSeconds, fileName }: PresignOptions,
): Promise<string> {
  assertKey(key);
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > 604_800)
    throw new ForestayError('BadRequest', 'A presigned URL lives for 1 to 604800 whole seconds.');
  if (fileName !== undefined && !isSegment(fileName))
    throw new ForestayError('BadRequest', 'Not a name of a file for a download.');
  const command = new GetObjectCommand({
    Bucket: bucket.location.bucket,
    Key: bucket.location.prefix + key,
    ...(fileName === undefined ? {} : { ResponseContentDisposition: `attachment; filename="${fileName}"` }),
  });
  try {
    return await getSignedUrl(bucket.client, command, { expiresIn: ttlSeconds });
  } catch (error) {
    throw storeError(bucket.name, error);
  }
}
