import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../core/errors.ts';
import type { Repeat } from '../core/repeat.ts';
import type { AbandonedPutsOptions, ObjectInfo, ObjectStore, PutOptions } from './object-store.ts';

export interface RetryPolicy {
  /** How often a step is tried at most. */
  readonly attempts: number;
  /** Milliseconds: the first wait is up to this long, each later one up to twice as long as the one before. */
  readonly firstDelayMs: number;
  /** Milliseconds of the longest wait. A store that asks for a longer one is given up: later the whole task is tried again. */
  readonly maxDelayMs: number;
  /** From 0 to 1; for tests. */
  readonly random?: () => number;
}

/** Waits up to about 40 s in all. */
export const usualPolicy: RetryPolicy = { attempts: 6, firstDelayMs: 500, maxDelayMs: 20_000 };

/**
 * Repeats what fails with a retryable error, after waits that grow and are spread (so that many who failed together do not come
 * back together), or as long as the store asks for. Gives up with the last reason. A signal ends a wait at once, with its reason.
 */
export function repeatWith(policy: RetryPolicy): Repeat {
  return async (step, signal) => {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await step();
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof ForestayError && error.retryable) || attempt >= policy.attempts) throw error;
        const delay = delayAfter(policy, attempt, error.retryAfterMs);
        if (delay > policy.maxDelayMs) throw error;
        await wait(delay, signal);
      }
    }
  };
}

/**
 * A store whose calls are repeated as long as nothing of them has happened that cannot be done twice: a put, while nothing was
 * read from its source; a list, while nothing of it was handed out; a get, until its stream is there. What comes after that only
 * the adapter can repeat.
 */
export function retrying(store: ObjectStore, repeat: Repeat): ObjectStore {
  const { removeAbandonedPuts } = store;
  return {
    ...store,
    put: (key, source, options) => putRepeatedly(store, repeat, key, source, options),
    get: (key, options) => repeat(() => store.get(key, options), options.signal),
    head: (key, signal) => repeat(() => store.head(key, signal), signal),
    list: (prefix, signal) => listRepeatedly(store, repeat, prefix, signal),
    delete: (keys, signal) => repeat(() => store.delete(keys, signal), signal),
    ...(removeAbandonedPuts && {
      removeAbandonedPuts: (options: AbandonedPutsOptions) =>
        repeat(() => removeAbandonedPuts.call(store, options), options.signal),
    }),
  };
}

/** Half of the wait is certain, the other half chance. */
function delayAfter(policy: RetryPolicy, attempt: number, askedForMs: number | undefined): number {
  const longest = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempt - 1));
  const ours = (longest / 2) * (1 + (policy.random ?? Math.random)());
  return Math.max(ours, askedForMs ?? 0);
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

async function putRepeatedly(
  store: ObjectStore,
  repeat: Repeat,
  key: string,
  source: AsyncIterable<Uint8Array>,
  options: PutOptions,
): Promise<{ size: number }> {
  let isTouched = false;
  const close = async () => {
    if (source instanceof Readable) source.destroy();
    else await source[Symbol.asyncIterator]().return?.();
  };
  /** The source as a try may see it: it is not closed by one that has not read from it. */
  const given = (): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]() {
      let bytes: AsyncIterator<Uint8Array> | undefined;
      return {
        next() {
          isTouched = true;
          bytes ??= source[Symbol.asyncIterator]();
          return bytes.next();
        },
        async return() {
          if (bytes && source instanceof Readable) source.destroy();
          else await bytes?.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  });
  try {
    const outcome = await repeat(async () => {
      try {
        return await store.put(key, given(), options);
      } catch (error) {
        if (!isTouched) throw error;
        return { failed: error };
      }
    }, options.signal);
    if ('failed' in outcome) throw outcome.failed;
    return outcome;
  } finally {
    if (!isTouched) await close();
  }
}

async function* listRepeatedly(
  store: ObjectStore,
  repeat: Repeat,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  const { objects, first } = await repeat(async () => {
    const objects = store.list(prefix, signal)[Symbol.asyncIterator]();
    return { objects, first: await objects.next() };
  }, signal);
  try {
    for (let next = first; !next.done; next = await objects.next()) yield next.value;
  } finally {
    await objects.return?.();
  }
}
