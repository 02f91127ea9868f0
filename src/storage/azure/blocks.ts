import { ForestayError } from '../../core/errors.ts';
import { withGrace } from '../../pipeline/grace.ts';
import type { Part } from '../../pipeline/parts.ts';
import { blobOf, type Container, request } from './container.ts';
import { discardBlocks } from './discard.ts';
import { isTaken, objectExists } from './errors.ts';
import { graceMs } from './finish.ts';
import { byServerCode } from './meanings.ts';
import { type BlockOwner, blockId, putMetadata } from './names.ts';
import { assertReceived } from './put-request.ts';

/** What Azure takes. */
const maxBlocks = 50_000;
/** Milliseconds. A list of 50,000 blocks takes the service a while. */
const commitMs = 5 * 60_000;
/** Milliseconds for all the tidying up after a failure, so that a dead server does not hold up an abort. */
const discardMs = 10_000;

/** The blocks of a put under way. Nobody sees them before their list is committed. */
export interface Blocks {
  /** Sends the next block; several may be under way, they are numbered in the order of the calls. */
  send(block: Pick<Part, 'bytes' | 'md5'>, signal: AbortSignal): Promise<void>;
  /** Makes the object visible. Throws `ObjectExists` where the server refuses to replace one. */
  commit(ifNoneMatch: boolean, signal: AbortSignal): Promise<void>;
  /** Removes what was sent. Never rejects: what it could not remove, `removeAbandonedPuts` finds. No block may be under way. */
  discard(): Promise<void>;
  /** To be called last: the blocks are nobody's any more. */
  end(): void;
}

export function startBlocks(container: Container, key: string, putId: string): Blocks {
  const owner: BlockOwner = { putId, startedAt: new Date() };
  const blob = blobOf(container, key);
  const ids: string[] = [];
  container.puts.add(putId);
  return {
    async send({ bytes, md5 }, signal) {
      if (ids.length >= maxBlocks) throw tooLarge(container);
      const id = blockId(owner, ids.length);
      ids.push(id);
      // An abort waits a moment for the answer: a block that arrives after the others were discarded would stay for a week.
      using grace = withGrace(signal, graceMs);
      const sendBlock = async () => {
        const options = { signal: grace.signal, bytes: bytes.length };
        const answer = await request(container, options, (abortSignal) =>
          blob.stageBlock(id, bytes, bytes.length, { abortSignal, transactionalContentMD5: md5 }),
        );
        assertReceived(container, md5, answer.contentMD5);
      };
      await container.repeat(sendBlock, signal);
    },
    async commit(ifNoneMatch, signal) {
      await request(
        container,
        { signal, limitMs: Math.max(commitMs, container.silenceMs) },
        (abortSignal) =>
          blob.commitBlockList(ids, {
            abortSignal,
            metadata: putMetadata(putId),
            conditions: ifNoneMatch ? { ifNoneMatch: '*' } : {},
          }),
        (error) => {
          if (ifNoneMatch && isTaken(error)) throw objectExists(key);
          return undefined;
        },
      );
    },
    async discard() {
      const isOurs = (owner: BlockOwner) => owner.putId === putId;
      await discardBlocks(container, key, isOurs, AbortSignal.timeout(discardMs)).catch(() => {});
    },
    end() {
      container.puts.delete(putId);
    },
  };
}

function tooLarge(container: Container): ForestayError {
  const { code, says, hint } = byServerCode.BlockCountExceedsLimit!;
  const gib = (container.location.blockBytes * maxBlocks) / 1024 ** 3;
  return new ForestayError(
    code,
    `The store ${container.name} ${says}: with its blocks an object has at most ${gib.toFixed(0)} GiB.`,
    { hint },
  );
}
