import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { assertKey } from '../../core/object-key.ts';
import type { Bucket } from './bucket.ts';
import { serverAbilities, takeTurn } from './conditional.ts';
import { objectExists } from './errors.ts';
import { finish } from './finish.ts';
import { startUpload, type Upload } from './multipart.ts';
import { partMemory } from './part-memory.ts';
import { partsOf } from './parts.ts';
import { putWhole } from './put-request.ts';
import { headObject } from './read.ts';

/**
 * What is smaller than a part goes in one request, all else as a multipart upload, whose parts are sent while the source is
 * read. Nobody sees the object before the last request, which makes it whole at one moment. The source is always ended, and its
 * own errors are passed on as they are.
 */
export async function putObject(
  bucket: Bucket,
  key: string,
  source: AsyncIterable<Uint8Array>,
  { signal, ifAbsent }: { readonly signal: AbortSignal; readonly ifAbsent: boolean },
): Promise<{ size: number }> {
  // A request that fails must also end the wait for a source that is in no hurry.
  const failure = new AbortController();
  const ended = AbortSignal.any([signal, failure.signal]);
  const underWay = new Set<Promise<void>>();
  const { partBytes, parallel } = bucket.location;
  const leave = partMemory.enter();
  let upload: Upload | undefined;
  /** Parts under way for which there is memory besides that of the next one. */
  let spare = 0;
  const mayFillNext = () => {
    if (underWay.size <= spare) return true;
    if (spare + 1 >= parallel || !partMemory.takeSpare(partBytes, (parallel - 1) * partBytes)) return false;
    spare += 1;
    return underWay.size <= spare;
  };
  const noteEnd = (sent: Promise<void>) => {
    underWay.delete(sent);
    for (; spare > underWay.size; spare--) partMemory.giveSpare(partBytes);
  };
  try {
    assertKey(key);
    signal.throwIfAborted();
    const conditions = ifAbsent ? await conditionsOf(bucket, key, signal) : undefined;
    const putId = randomUUID();
    let size = 0;
    let whole: Buffer | undefined = Buffer.alloc(0);
    for await (const part of partsOf(source, partBytes, partMemory, ended)) {
      size += part.bytes.length;
      if (!upload && part.bytes.length < partBytes) {
        whole = part.bytes;
        continue;
      }
      whole = undefined;
      upload ??= await startUpload(bucket, key, putId, ended);
      const sending = upload.send(part.bytes, ended).then(part.release);
      const done = sending.catch((error: unknown) => failure.abort(error)).finally(() => noteEnd(done));
      underWay.add(done);
      // The memory of a put is that of the parts under way: the next is filled when there is some for it.
      while (!mayFillNext()) await Promise.race(underWay);
    }
    await Promise.all(underWay);
    ended.throwIfAborted();

    const publish = (ifNoneMatch: boolean) =>
      finish(bucket, { key, putId, size, ifNoneMatch, check: upload !== undefined, signal }, (last) =>
        upload
          ? upload.complete(ifNoneMatch, last)
          : putWhole(bucket, { key, putId, bytes: whole!, ifNoneMatch }, last),
      );
    const decides = upload ? conditions?.uploads : conditions?.puts;
    if (!conditions) await publish(false);
    else if (decides) await publish(true);
    else {
      await takeTurn(bucket, key, signal, async () => {
        if (await headObject(bucket, key, signal)) throw objectExists(key);
        await publish(false);
      });
    }
    return { size };
  } catch (error) {
    failure.abort(error);
    await Promise.all(underWay);
    await upload?.discard();
    // A source that was never begun would otherwise wait for its reader for ever.
    if (source instanceof Readable) source.destroy();
    throw error;
  } finally {
    upload?.end();
    leave();
  }
}

/** What is known to fail at the end fails before a byte is read. */
async function conditionsOf(bucket: Bucket, key: string, signal: AbortSignal) {
  const abilities = await serverAbilities(bucket, signal);
  if (await headObject(bucket, key, signal)) throw objectExists(key);
  return abilities;
}
