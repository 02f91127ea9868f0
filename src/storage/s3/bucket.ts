import { readFileSync } from 'node:fs';
import { HeadBucketCommand, type S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import { once, type Repeat } from '../../core/repeat.ts';
import { orAborted } from '../../pipeline/until-aborted.ts';
import { makeClient } from './client.ts';
import { statusOf, storeError } from './errors.ts';
import type { S3Location } from './location.ts';
import { byServerCode } from './meanings.ts';

/** Names of what is put to find out what the server can. They begin with a dot: never the name of an object. */
export const probePrefix = '.forestay-probe-';

export interface S3StoreOptions {
  readonly location: S3Location;
  /** For steps within a call that nobody outside can repeat: parts of an upload, pages of a list, the rest of a get. */
  readonly repeat?: Repeat;
  /** Default: the SDK's chain. */
  readonly credentials?: S3ClientConfig['credentials'];
  /** Milliseconds that the store may be silent. Default: 60,000. */
  readonly silenceMs?: number;
  /** Milliseconds that it may be silent while it makes a whole of an upload's parts. Default: 900,000. */
  readonly completeMs?: number;
}

/** What all calls of one store share. */
export interface Bucket {
  readonly client: S3Client;
  readonly location: S3Location;
  /** For people, without credentials. */
  readonly name: string;
  readonly repeat: Repeat;
  readonly silenceMs: number;
  readonly completeMs: number;
  /** By how many milliseconds the server was ahead at its last answer. */
  readonly clock: { skewMs: number };
  /** Uploads that this process is at: they are not abandoned, however old. */
  readonly uploads: Set<string>;
  /** Puts that must not run at the same time, by key. */
  readonly turns: Map<string, Promise<unknown>>;
}

export function openBucket(options: S3StoreOptions): Bucket {
  const { location, credentials } = options;
  const clock = { skewMs: 0 };
  const onSkew = (ms: number) => {
    clock.skewMs = ms;
  };
  const ca = location.caFile === undefined ? undefined : readCertificates(location.caFile);
  return {
    client: makeClient(location, { ca, credentials, onSkew }),
    location,
    name: nameOf(location),
    repeat: options.repeat ?? once,
    silenceMs: options.silenceMs ?? 60_000,
    // Servers put the parts together before they answer, which takes minutes for a large object.
    completeMs: options.completeMs ?? 15 * 60_000,
    clock,
    uploads: new Set(),
    turns: new Map(),
  };
}

export interface RequestOptions {
  readonly signal: AbortSignal;
  /** Bytes that are sent: each 15 MiB of them are allowed as long as the silence again, 4 seconds a MiB by default. */
  readonly bytes?: number;
  /** Milliseconds, in place of the usual silence. */
  readonly limitMs?: number;
}

/**
 * Makes one request, which ends with its answer, at once with the reason of the signal, or with `StoreTimeout`. Errors are
 * translated, but for those that `expected` makes an answer of.
 */
export async function request<T, E extends string | number | boolean | undefined = undefined>(
  bucket: Bucket,
  { signal, bytes = 0, limitMs = bucket.silenceMs }: RequestOptions,
  send: (abortSignal: AbortSignal) => Promise<T>,
  expected: (error: unknown) => E | undefined = () => undefined,
): Promise<T | Exclude<E, undefined>> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(tooSlow(bucket)), limitMs * (1 + bytes / (15 * 1024 * 1024)));
  const ended = AbortSignal.any([signal, limit.signal]);
  try {
    return await orAborted(send(ended), ended);
  } catch (error) {
    signal.throwIfAborted();
    const answer = expected(error);
    if (answer !== undefined) return answer as Exclude<E, undefined>;
    throw storeError(bucket.name, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Throws for a bucket that is not there: an answer to HEAD, and to some other requests, does not tell it from a missing object. */
export async function assertBucket(bucket: Bucket, signal: AbortSignal): Promise<void> {
  const Bucket = bucket.location.bucket;
  const found = await request(
    bucket,
    { signal },
    (abortSignal) =>
      bucket.client.send(new HeadBucketCommand({ Bucket }), { abortSignal }).then(() => 'there' as const),
    (error) => {
      if (statusOf(error) === 404) return 'missing';
      // Some rights are enough for objects and not for this.
      return statusOf(error) === 403 ? 'there' : undefined;
    },
  );
  if (found === 'there') return;
  const { code, says, hint } = byServerCode.NoSuchBucket!;
  throw new ForestayError(code, `The store ${bucket.name} ${says}.`, { hint });
}

function nameOf({ bucket, prefix, endpoint, region }: S3Location): string {
  return `s3://${bucket}/${prefix} (${endpoint ?? region})`;
}

function tooSlow(bucket: Bucket): ForestayError {
  return new ForestayError('StoreTimeout', `The store ${bucket.name} did not answer in time.`, {
    hint: 'Check the network and the load of the store; fewer parallel parts (parallel=1) help slow links.',
  });
}

function readCertificates(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ForestayError('Misconfigured', `The certificates in ${file} cannot be read.`, {
      hint: 'Correct ca_file in the URL of the store, or who may read the file.',
      cause,
    });
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new ForestayError('Misconfigured', `The file ${file} holds no certificate.`, {
    hint: 'ca_file names a file of PEM certificates ("-----BEGIN CERTIFICATE-----").',
  });
}
