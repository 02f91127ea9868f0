import { blobOf, type Container, request } from './container.ts';
import { isAnswer, isMissing, isTaken } from './errors.ts';

/** Requests under way at a time. Azure's batches of deletions need rights that signatures often lack, and no folders below. */
const atOnce = 16;

/** Removes objects. When it fails or is aborted, some of them may be gone. */
export async function deleteObjects(
  container: Container,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const failure = new AbortController();
  const ended = AbortSignal.any([signal, failure.signal]);
  const left = keys.values();
  const work = async () => {
    for (const key of left) await deleteOne(container, key, ended);
  };
  const workers = Array.from({ length: Math.min(atOnce, keys.length) }, () =>
    work().catch((error: unknown) => failure.abort(error)),
  );
  await Promise.all(workers);
  ended.throwIfAborted();
}

/** With its snapshots, which would hold it. `ifMatch`: only what has this ETag. What is missing, or another by now, is no error. */
export async function deleteOne(
  container: Container,
  key: string,
  signal: AbortSignal,
  ifMatch?: string,
): Promise<void> {
  await request(
    container,
    { signal },
    (abortSignal) =>
      blobOf(container, key)
        .delete({
          abortSignal,
          deleteSnapshots: 'include',
          conditions: ifMatch === undefined ? {} : { ifMatch },
        })
        .then(() => true),
    (error) =>
      isMissing(error) || (ifMatch !== undefined && isTaken(error) && !isAnswer(error, 'BlobAlreadyExists'))
        ? true
        : undefined,
  );
}
