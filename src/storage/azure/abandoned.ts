import type { AbandonedPutsOptions } from '../object-store.ts';
import type { Container } from './container.ts';
import { deleteOne } from './delete.ts';
import { discardBlocks } from './discard.ts';
import { listBlobs } from './list.ts';

/**
 * Discards blocks of keys that are ours, which belong to puts that began before `before`, but for those this process is at, and
 * placeholders that old; resolves with at how many keys. Blocks of an interrupted put under a key that has an object are left to
 * Azure, which removes them after a week.
 */
export async function removeAbandonedPuts(
  container: Container,
  { before, isOurs, signal }: AbandonedPutsOptions,
): Promise<number> {
  let removed = 0;
  for await (const blob of listBlobs(container, '', { signal, uncommitted: true })) {
    const { key, size, modifiedAt, etag } = blob;
    if (blob.isFolder || !isOurs(key)) continue;
    if (blob.isPlaceholder) {
      if (!modifiedAt || modifiedAt >= before) continue;
      await container.repeat(() => deleteOne(container, key, signal, etag), signal);
      removed += 1;
      continue;
    }
    // A blob of which nothing is committed is listed as an empty one; which of the empty ones it is, its blocks say.
    if (size) continue;
    const mayGo = ({ putId, startedAt }: { putId: string; startedAt: Date }) =>
      startedAt < before && !container.puts.has(putId);
    if (await discardBlocks(container, key, mayGo, signal)) removed += 1;
  }
  return removed;
}
