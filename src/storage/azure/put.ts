import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { assertKey } from '../../core/object-key.ts';
import { partMemory } from '../../pipeline/part-memory.ts';
import { type Part, partsOf } from '../../pipeline/parts.ts';
import { partsUnderWay } from '../../pipeline/parts-under-way.ts';
import { type Blocks, startBlocks } from './blocks.ts';
import type { Container } from './container.ts';
import { objectExists } from './errors.ts';
import { finish } from './finish.ts';
import { putWhole } from './put-request.ts';
import { headObject } from './read.ts';
import { turnAt } from './turns.ts';

/**
 * What is smaller than a block goes in one request, all else as blocks of equal size, which are sent while the source is read.
 * Nobody sees the object before the last request, which makes it whole at one moment. The source is always ended, and its own
 * errors are passed on as they are.
 */
export async function putObject(
  container: Container,
  key: string,
  source: AsyncIterable<Uint8Array>,
  { signal, ifAbsent }: { readonly signal: AbortSignal; readonly ifAbsent: boolean },
): Promise<{ size: number }> {
  const { blockBytes, parallel } = container.location;
  // A request that fails must also end the wait for a source that is in no hurry.
  const failure = new AbortController();
  const ended = AbortSignal.any([signal, failure.signal]);
  const underWay = partsUnderWay({ partBytes: blockBytes, parallel }, (error) => failure.abort(error));
  const turn = turnAt(container.turns, key);
  let blocks: Blocks | undefined;
  try {
    assertKey(key);
    signal.throwIfAborted();
    // What is known to fail at the end fails before a byte is read, and again before many are sent.
    const assertAbsent = async (within: AbortSignal) => {
      if (ifAbsent && (await headObject(container, key, within))) throw objectExists(key);
    };
    await assertAbsent(signal);
    const putId = randomUUID();
    let size = 0;
    let whole: Part | undefined;
    for await (const part of partsOf(source, blockBytes, partMemory, ended)) {
      size += part.bytes.length;
      if (!blocks && part.bytes.length < blockBytes) {
        whole = part;
        continue;
      }
      whole = undefined;
      if (!blocks) {
        await turn.take(ended);
        await assertAbsent(ended);
        blocks = startBlocks(container, key, putId);
      }
      // The memory of a put is that of the blocks under way: the next is filled when there is some for it.
      await underWay.add(blocks.send(part, ended).then(part.release));
    }
    await underWay.settled();
    ended.throwIfAborted();
    await turn.take(signal);

    const check = blocks !== undefined;
    await finish(container, { key, putId, size, ifAbsent, check, signal }, (last) =>
      blocks
        ? blocks.commit(ifAbsent, last)
        : putWhole(container, { key, putId, part: whole!, ifNoneMatch: ifAbsent }, last),
    );
    return { size };
  } catch (error) {
    failure.abort(error);
    await underWay.settled();
    await blocks?.discard();
    // A source that was never begun would otherwise wait for its reader for ever.
    if (source instanceof Readable) source.destroy();
    throw error;
  } finally {
    blocks?.end();
    turn.end();
    underWay.close();
  }
}
