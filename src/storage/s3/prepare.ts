import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { ForestayError, hasCode } from '../../core/errors.ts';
import { type Bucket, openBucket, request, type S3StoreOptions } from './bucket.ts';
import { isMeant } from './errors.ts';
import { byServerCode, mixedUp, notS3 } from './meanings.ts';
import { speaksTls } from './scheme.ts';

/** Milliseconds of difference between two clocks that are worth a word. */
const skewWorthSaying = 60_000;
/** Milliseconds that S3 tolerates. More is no delay of a request: one of the clocks is wrong. */
const skewTolerated = 15 * 60_000;

/**
 * Looks, when a process starts, at what would make every backup fail later: whether the endpoint answers, knows the credentials
 * and the bucket, lets them list it, and has the same time. Changes nothing. Resolves with a sentence about each; throws
 * `Misconfigured` at once for what somebody must change, and `StoreUnavailable` or `StoreTimeout` for what may pass.
 */
export async function examineS3Store(options: S3StoreOptions, signal: AbortSignal): Promise<string[]> {
  const bucket = openBucket(options);
  const { bucket: Bucket, prefix, endpoint, region } = bucket.location;
  const command = new ListObjectsV2Command({ Bucket, Prefix: prefix, MaxKeys: 1 });
  const look = async () => {
    let thrown: unknown;
    try {
      await request(
        bucket,
        { signal },
        (abortSignal) => bucket.client.send(command, { abortSignal }),
        (error) => {
          thrown = error;
          return undefined;
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      throw await diagnosed(bucket, error, thrown, signal);
    }
    // A client that was told the server's time signs with it: some requests pass although the clock is wrong.
    if (Math.abs(bucket.clock.skewMs) > skewTolerated) throw wrongClock(bucket);
  };
  try {
    await bucket.repeat(look, signal);
  } finally {
    bucket.client.destroy();
  }
  const { skewMs } = bucket.clock;
  return [
    `The endpoint ${endpoint ?? `of Amazon S3 in ${region}`} answers`,
    `The credentials are right and may list the bucket ${Bucket}`,
    Math.abs(skewMs) < skewWorthSaying
      ? 'Its clock and that of this machine agree'
      : `Its clock is ${differenceOf(skewMs)} that of this machine: set the clock, best by NTP`,
  ];
}

/** What looks like a fault that may pass, and is one of the configuration. `thrown` is what the client threw. */
async function diagnosed(
  bucket: Bucket,
  error: unknown,
  thrown: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  if (!(error instanceof ForestayError)) return error;
  if (Math.abs(bucket.clock.skewMs) > skewTolerated) return wrongClock(bucket);
  const { endpoint } = bucket.location;
  if (endpoint?.startsWith('http:') && hasCode(error, 'StoreUnavailable', 'StoreDenied')) {
    if (await speaksTls(endpoint, signal)) {
      const says = `The store ${bucket.name} ${mixedUp.says}: https is spoken there, not http.`;
      return misconfigured(says, mixedUp.hint, error);
    }
  }
  const isWrong = hasCode(error, 'StoreDenied') || isMeant(thrown, mixedUp, notS3);
  return isWrong ? misconfigured(error.message, error.hint, error.cause) : error;
}

function wrongClock(bucket: Bucket): ForestayError {
  const { skewMs } = bucket.clock;
  return misconfigured(
    `The clock of the store ${bucket.name} is ${differenceOf(skewMs)} that of this machine.`,
    byServerCode.RequestTimeTooSkewed!.hint,
  );
}

function differenceOf(skewMs: number): string {
  return `${Math.round(Math.abs(skewMs) / 1000)} seconds ${skewMs > 0 ? 'ahead of' : 'behind'}`;
}

function misconfigured(message: string, hint: string | undefined, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', message, { ...(hint !== undefined && { hint }), cause });
}
