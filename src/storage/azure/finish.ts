import { ForestayError, hasCode } from '../../core/errors.ts';
import { withGrace } from '../../pipeline/grace.ts';
import type { Container } from './container.ts';
import { deleteOne } from './delete.ts';
import { objectExists } from './errors.ts';
import { headBlob } from './read.ts';

/** Milliseconds that a request may still take when the put is aborted meanwhile, and its outcome matters. */
export const graceMs = 5_000;

export interface LastRequest {
  readonly key: string;
  readonly putId: string;
  readonly size: number;
  readonly ifAbsent: boolean;
  /** Look at the size of what the server has made of the blocks. */
  readonly check: boolean;
  readonly signal: AbortSignal;
}

/**
 * Makes the request that makes the object visible. When its answer is lost the object may be there all the same: then it is
 * looked whose it is, by the id of the put in its metadata. An abort waits a moment for the answer: either the put is rejected and
 * has left nothing, or it came too late and the put is done.
 */
export async function finish(
  container: Container,
  { key, putId, size, ifAbsent, check, signal }: LastRequest,
  send: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const isOurs = async (within: AbortSignal) => {
    const found = await headBlob(container, key, within);
    if (found?.isPlaceholder) {
      // Somebody discards blocks here just now, or was killed while at it. It is nothing: the next try finds it gone.
      await deleteOne(container, key, within, found.etag);
      throw discarding(container, key);
    }
    if (found && found.putId !== putId && ifAbsent) throw objectExists(key);
    return found?.putId === putId && found.size === size;
  };
  using grace = withGrace(signal, graceMs);
  try {
    await container.repeat(async () => {
      try {
        await send(grace.signal);
      } catch (error) {
        if (!hasCode(error, 'ObjectExists', 'StoreUnavailable', 'StoreTimeout')) throw error;
        const ours = await isOurs(grace.signal).catch((unseen: unknown) => {
          // Whose object it is stays unknown: that may pass, unlike "it exists".
          throw hasCode(unseen, 'ObjectExists') || hasCode(error, 'ObjectExists') ? unseen : error;
        });
        if (!ours) throw error;
        return;
      }
      if (check) await assertSize(container, { key, putId, size }, grace.signal);
    }, signal);
  } catch (error) {
    if (!signal.aborted || !grace.signal.aborted) throw error;
    if (await isOurs(AbortSignal.timeout(graceMs)).catch(() => false)) return;
    throw signal.reason;
  }
}

async function assertSize(
  container: Container,
  { key, putId, size }: { key: string; putId: string; size: number },
  signal: AbortSignal,
): Promise<void> {
  const found = await headBlob(container, key, signal);
  // Somebody may have replaced or deleted it by now, which is as good as just afterwards.
  if (found?.putId !== putId || found.size === size) return;
  await deleteOne(container, key, signal, found.etag);
  throw new ForestayError(
    'StoreUnavailable',
    `The store ${container.name} made ${found.size} bytes out of the ${size} it was sent.`,
    { hint: 'Look at the status of the store: it loses blocks.' },
  );
}

function discarding(container: Container, key: string): ForestayError {
  return new ForestayError(
    'StoreUnavailable',
    `The store ${container.name} just discards what an earlier put left of ${key}.`,
    { hint: 'It is tried again by itself.' },
  );
}
