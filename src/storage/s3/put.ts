import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { assertKey } from '../../core/object-key.ts';
import { partMemory } from '../../pipeline/part-memory.ts';
import { type Part, partsOf } from '../../pipeline/parts.ts';
import { partsUnderWay } from '../../pipeline/parts-under-way.ts';
import type { Bucket } from './bucket.ts';
import { serverAbilities, takeTurn } from './conditional.ts';
import { objectExists } from './errors.ts';
import { finish } from './finish.ts';
import { startUpload, type Upload } from './multipart.ts';
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
  const { partBytes } = bucket.location;
  const underWay = partsUnderWay(bucket.location, (error) => failure.abort(error));
  let upload: Upload | undefined;
  try {
    assertKey(key);
    signal.throwIfAborted();
    const conditions = ifAbsent ? await conditionsOf(bucket, key, signal) : undefined;
    const putId = randomUUID();
    let size = 0;
    let whole: Part | undefined;
    for await (const part of partsOf(source, partBytes, partMemory, ended)) {
      size += part.bytes.length;
      if (!upload && part.bytes.length < partBytes) {
        whole = part;
        continue;
      }
      whole = undefined;
      upload ??= await startUpload(bucket, key, putId, ended);
      // The memory of a put is that of the parts under way: the next is filled when there is some for it.
      await underWay.add(upload.send(part, ended).then(part.release));
    }
    await underWay.settled();
    ended.throwIfAborted();

    const publish = (ifNoneMatch: boolean) =>
      finish(bucket, { key, putId, size, ifNoneMatch, check: upload !== undefined, signal }, (last) =>
        upload
          ? upload.complete(ifNoneMatch, last)
          : putWhole(bucket, { key, putId, part: whole!, ifNoneMatch }, last),
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
    await underWay.settled();
    await upload?.discard();
    // A source that was never begun would otherwise wait for its reader for ever.
    if (source instanceof Readable) source.destroy();
    throw error;
  } finally {
    upload?.end();
    underWay.close();
  }
}

/** What is known to fail at the end fails before a byte is read. */
async function conditionsOf(bucket: Bucket, key: string, signal: AbortSignal) {
  const abilities = await serverAbilities(bucket, signal);
  if (await headObject(bucket, key, signal)) throw objectExists(key);
  return abilities;
}
