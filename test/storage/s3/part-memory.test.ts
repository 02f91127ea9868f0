import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { makePartMemory } from '../../../src/pipeline/part-memory.ts';
import { hanging, heldBytes, inChunks, never } from '../../contract/store-data.ts';
import { startFakeS3 } from '../../support/fake-s3.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { storeAt } from './servers.ts';

const MiB = 1024 * 1024;

it('gives out what is spare and no more, but always enough for one upload that is alone', () => {
  const memory = makePartMemory(20);
  memory.enter();
  const leaveSecond = memory.enter();
  // Two hold a part each: 12 are spare.
  expect([1, 2, 3, 4].map(() => memory.takeSpare(4, 4))).toEqual([true, true, true, false]);
  memory.giveSpare(4);
  expect(memory.takeSpare(4, 4)).toBe(true);
  leaveSecond();
  expect([1, 2].map(() => memory.takeSpare(4, 4))).toEqual([true, false]);
  const small = makePartMemory(1);
  small.enter();
  expect([1, 2, 3].map(() => small.takeSpare(4, 8))).toEqual([true, true, false]);
});

it('uses buffers again, those of the right size, and keeps none that nobody needs', () => {
  const memory = makePartMemory();
  const [leaveFirst, leaveSecond] = [memory.enter(), memory.enter()];
  const [one, other] = [memory.take(5), memory.take(7)];
  memory.give(one);
  memory.give(other);
  expect(memory.take(5)).toBe(one);
  memory.give(one);
  leaveFirst();
  leaveSecond();
  expect(memory.take(5)).not.toBe(one);
  expect(memory.take(7)).not.toBe(other);
});

it('promise 7: many uploads at once to a store that is stuck hold little more than a part each', async () => {
  const server = await startFakeS3();
  const proxy = await startFaultProxy(server.endpoint);
  const abort = new AbortController();
  try {
    proxy.setRule(({ url }) => (url?.includes('partNumber') ? { kind: 'silence' } : undefined));
    const store = storeAt(proxy.url, { more: '&parallel=8', silenceMs: 60_000 });
    const before = heldBytes();
    const puts = Array.from({ length: 12 }, (_, index) =>
      store
        .put(
          `data-${index}`,
          hanging(100 * MiB, () => {}),
          { signal: abort.signal },
        )
        .catch(() => {}),
    );
    const parts = () => proxy.requests.filter((line) => line.includes('partNumber')).length;
    // One each, and for all of them together what is left of 128 MiB.
    await expect.poll(parts, { timeout: 20_000 }).toBe(12 + 13);
    // What is in sockets comes on top. Each for itself they would hold 480 MiB.
    expect(heldBytes() - before).toBeLessThan(25 * 5 * MiB + 64 * MiB);
    abort.abort();
    await Promise.all(puts);
    proxy.setRule(undefined);
    await store.put('after', inChunks(randomBytes(12 * MiB)), { signal: never });
    expect(server.objects.get('site/after')?.bytes).toHaveLength(12 * MiB);
    expect(parts()).toBe(25 + 3);
  } finally {
    abort.abort();
    await proxy.close();
    await server.close();
  }
});
