import { blobOf, type Container, request } from './container.ts';
import { deleteOne } from './delete.ts';
import { isMissing, isTaken } from './errors.ts';
import { type BlockOwner, ownerOf, placeholderMetadata } from './names.ts';

/**
 * Removes the blocks that were sent for a key and never committed; resolves with whether any were. Azure has no request for this
 * and would keep, and charge for, them for a week. They go when a list of blocks is committed that does not name them: so an empty one
 * is, whose empty blob is marked (to head, get and list it is no object) and deleted again at once. Where an object lies under the key nothing is done: it
 * is worth more than a week's storage of blocks. Neither where one of the blocks is not to be removed.
 */
export async function discardBlocks(
  container: Container,
  key: string,
  mayGo: (owner: BlockOwner) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  // A block that was on its way when its put ended may arrive later: so it is looked again.
  for (let look = 0; look < 3; look++) {
    const owners = await container.repeat(() => ownersOfBlocks(container, key, signal), signal);
    if (owners.length === 0) return look > 0;
    if (!owners.every((owner) => owner !== undefined && mayGo(owner))) return false;
    const etag = await container.repeat(() => putPlaceholder(container, key, signal), signal);
    if (etag === undefined) return false;
    await container.repeat(() => deleteOne(container, key, signal, etag), signal);
  }
  return true;
}

/** One for each block that is not committed, undefined for a block that no put of ours can have sent. */
async function ownersOfBlocks(
  container: Container,
  key: string,
  signal: AbortSignal,
): Promise<(BlockOwner | undefined)[]> {
  const answer = await request(
    container,
    { signal },
    (abortSignal) => blobOf(container, key).getBlockList('uncommitted', { abortSignal }),
    (error) => (isMissing(error) ? ('none' as const) : undefined),
  );
  if (answer === 'none') return [];
  return (answer.uncommittedBlocks ?? []).map(({ name }) => ownerOf(name));
}

/** Undefined where there is an object. */
async function putPlaceholder(
  container: Container,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const answer = await request(
    container,
    { signal },
    (abortSignal) =>
      blobOf(container, key).commitBlockList([], {
        abortSignal,
        metadata: placeholderMetadata,
        conditions: { ifNoneMatch: '*' },
      }),
    (error) => (isTaken(error) ? ('taken' as const) : undefined),
  );
  return answer === 'taken' ? undefined : answer.etag;
}
