import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import { type Bucket, request } from './bucket.ts';
import { isAnswer, statusOf } from './errors.ts';
import { byServerCode, byStatus } from './meanings.ts';

/** What S3 takes in one request. */
const batchSize = 1000;

/** Removes objects. When it fails or is aborted, some of them may be gone. */
export async function deleteObjects(
  bucket: Bucket,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  for (let start = 0; start < keys.length; start += batchSize) {
    const names = keys.slice(start, start + batchSize).map((key) => bucket.location.prefix + key);
    if (names.length > 1 && (await deleteTogether(bucket, names, signal))) continue;
    for (const name of names) await deleteOne(bucket, name, signal);
  }
}

export async function deleteOne(bucket: Bucket, name: string, signal: AbortSignal): Promise<void> {
  const command = new DeleteObjectCommand({ Bucket: bucket.location.bucket, Key: name });
  await request(
    bucket,
    { signal },
    (abortSignal) => bucket.client.send(command, { abortSignal }).then(() => true),
    (error) => (statusOf(error) === 404 && !isAnswer(error, 'NoSuchBucket') ? true : undefined),
  );
}

/** False where the server does not know how. */
async function deleteTogether(
  bucket: Bucket,
  names: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  const command = new DeleteObjectsCommand({
    Bucket: bucket.location.bucket,
    Delete: { Quiet: true, Objects: names.map((Key) => ({ Key })) },
  });
  const answer = await request(
    bucket,
    { signal },
    (abortSignal) => bucket.client.send(command, { abortSignal }),
    (error) =>
      isAnswer(error, 'NotImplemented') || statusOf(error) === 501 ? ('unsupported' as const) : undefined,
  );
  if (answer === 'unsupported') return false;
  const failures = (answer.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey');
  const [failed] = failures;
  if (!failed) return true;
  const { code, says, hint } = byServerCode[failed.Code ?? ''] ?? byStatus(500);
  throw new ForestayError(
    code,
    `The store ${bucket.name} ${says} (${failed.Code}): ${failures.length} of ${names.length} objects were not deleted.`,
    { hint, cause: new Error(`${failed.Code}: ${failed.Message}`) },
  );
}
