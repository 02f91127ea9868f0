import { Readable } from 'node:stream';

/**
 * What a source yields, until it ends or the signal aborts: then it rejects with the signal's reason, also while the source
 * hangs. However it ends, the source is closed.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  signal.throwIfAborted();
  const iterator = source[Symbol.asyncIterator]();
  let state: 'reading' | 'between' | 'ended' = 'between';
  try {
    while (true) {
      state = 'reading';
      const next = await orAborted(iterator.next(), signal);
      state = next.done ? 'ended' : 'between';
      if (next.done) return;
      yield next.value;
    }
  } finally {
    if (source instanceof Readable) source.destroy();
    // `return` waits for the `next` before it, which may never come: then it is not waited for.
    else if (state === 'reading') iterator.return?.().catch(() => {});
    else if (state === 'between') await iterator.return?.();
  }
}

/**
 * The promise, or the signal's reason, whichever comes first. Not `Promise.race` with one promise for the abort: that would
 * keep a reaction for every chunk of the object.
 */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    if (signal.aborted) abort();
  });
}
