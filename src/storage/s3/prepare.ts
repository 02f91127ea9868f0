import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { ForestayError, hasCode } from '../../core/errors.ts';
import { openBucket, request, type S3StoreOptions } from './bucket.ts';

/** Milliseconds of difference between two clocks that are worth a word; servers refuse at 15 minutes. */
const skewWorthSaying = 60_000;

/**
 * Looks, when a process starts, at what would make every backup fail later: whether the endpoint answers, knows the credentials
 * and the bucket, lets them list it, and has the same time. Changes nothing. Resolves with a sentence about each; throws
 * `Misconfigured` for what somebody must change, and `StoreUnavailable` or `StoreTimeout` for what may pass.
 */
export async function examineS3Store(options: S3StoreOptions, signal: AbortSignal): Promise<string[]> {
  const bucket = openBucket(options);
  const { bucket: Bucket, prefix, endpoint, region } = bucket.location;
  const command = new ListObjectsV2Command({ Bucket, Prefix: prefix, MaxKeys: 1 });
  const look = () =>
    request(bucket, { signal }, (abortSignal) => bucket.client.send(command, { abortSignal }));
  try {
    await bucket.repeat(look, signal);
  } catch (error) {
    if (!hasCode(error, 'StoreDenied')) throw error;
    throw new ForestayError('Misconfigured', error.message, { hint: error.hint ?? '', cause: error.cause });
  } finally {
    bucket.client.destroy();
  }
  const { skewMs } = bucket.clock;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  return [
    `The endpoint ${endpoint ?? `of Amazon S3 in ${region}`} answers`,
    `The credentials are right and may list the bucket ${Bucket}`,
    Math.abs(skewMs) < skewWorthSaying
      ? 'Its clock and that of this machine agree'
      : `Its clock is ${seconds} seconds ${skewMs > 0 ? 'ahead of' : 'behind'} that of this machine: set the clock, best by NTP`,
  ];
}
