import { createHash, randomUUID } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { hasCode } from '../../core/errors.ts';
import { orAborted } from '../../pipeline/until-aborted.ts';
import { type Bucket, probePrefix, request } from './bucket.ts';
import { deleteOne } from './delete.ts';
import { isAnswer, statusOf } from './errors.ts';
import { startUpload } from './multipart.ts';

/** Milliseconds for finding out. */
const probeMs = 60_000;

/** What a server refuses to replace when it is asked to (`If-None-Match: *`). */
export interface Abilities {
  readonly puts: boolean;
  readonly uploads: boolean;
}

const known = new WeakMap<Bucket, Promise<Abilities>>();

/**
 * Finds out, once for a store, by trying to replace a small object: some servers refuse such requests, and some just ignore
 * the condition and replace the object.
 */
export async function serverAbilities(bucket: Bucket, signal: AbortSignal): Promise<Abilities> {
  let abilities = known.get(bucket);
  if (!abilities) {
    abilities = probe(bucket, AbortSignal.timeout(probeMs));
    known.set(bucket, abilities);
    abilities.catch(() => known.delete(bucket));
  }
  return orAborted(abilities, signal);
}

/** Runs the steps for one key one after the other, in this process. */
export async function takeTurn(
  bucket: Bucket,
  key: string,
  signal: AbortSignal,
  step: () => Promise<void>,
): Promise<void> {
  const before = bucket.turns.get(key) ?? Promise.resolve();
  const turn = before.then(async () => {
    signal.throwIfAborted();
    await step();
  });
  const settled = turn.catch(() => {});
  bucket.turns.set(key, settled);
  try {
    await turn;
  } finally {
    if (bucket.turns.get(key) === settled) bucket.turns.delete(key);
  }
}

/**
 * The first request is not repeated here: nothing has happened before it that whoever wraps the store could not do again. An answer
 * that got lost does no harm: the key is a fresh one, so that only what was sent before can be in the way of a repetition.
 */
async function probe(bucket: Bucket, signal: AbortSignal): Promise<Abilities> {
  const key = `${probePrefix}${randomUUID()}`;
  const name = bucket.location.prefix + key;
  const again = <T>(step: () => Promise<T>) => bucket.repeat(step, signal);
  try {
    if ((await putProbe(bucket, key, signal)) !== 'done') return { puts: false, uploads: false };
    const puts = (await again(() => putProbe(bucket, key, signal))) === 'refused';
    return { puts, uploads: puts && (await completeProbe(bucket, key, signal)) === 'refused' };
  } finally {
    // What cannot be removed now, `removeAbandonedPuts` finds.
    await again(() => deleteOne(bucket, name, signal)).catch(() => {});
  }
}

type Outcome = 'done' | 'refused' | 'unsupported';

async function putProbe(bucket: Bucket, key: string, signal: AbortSignal): Promise<Outcome> {
  const command = new PutObjectCommand({
    Bucket: bucket.location.bucket,
    Key: bucket.location.prefix + key,
    Body: Buffer.from('probe'),
    IfNoneMatch: '*',
  });
  const send = (abortSignal: AbortSignal) => bucket.client.send(command, { abortSignal });
  return request<Outcome, Outcome>(
    bucket,
    { signal },
    (abortSignal) => send(abortSignal).then(() => 'done'),
    outcomeOf,
  );
}

async function completeProbe(bucket: Bucket, key: string, signal: AbortSignal): Promise<Outcome> {
  const upload = await startUpload(bucket, key, 'probe', signal);
  try {
    const bytes = Buffer.from('probe');
    await upload.send({ bytes, md5: createHash('md5').update(bytes).digest() }, signal);
    await bucket.repeat(() => upload.complete(true, signal), signal);
    return 'done';
  } catch (error) {
    if (hasCode(error, 'ObjectExists')) return 'refused';
    if (hasCode(error, 'StoreDenied')) return 'unsupported';
    throw error;
  } finally {
    await upload.discard();
    upload.end();
  }
}

/** Servers that do not know the header say so (501), find it invalid (400), or take it for the condition of a get (412 at once). */
function outcomeOf(error: unknown): Outcome | undefined {
  if (statusOf(error) === 412) return 'refused';
  return [400, 405, 501].includes(statusOf(error) ?? 0) && !isAnswer(error, ...notAboutConditions)
    ? 'unsupported'
    : undefined;
}

/** Other reasons for a 400. */
const notAboutConditions = ['ExpiredToken', 'InvalidToken', 'AuthorizationHeaderMalformed', 'RequestTimeout'];
