import { expect, test } from 'vitest';
import { shareReads } from '../../src/core/share-reads.ts';

/** A read that a test lets finish, and that answers how often it was begun. */
function controlled() {
  let begun = 0;
  const finish: ((error?: Error) => void)[] = [];
  const read = (_key: string) => {
    const number = ++begun;
    return new Promise<number>((resolve, reject) => {
      finish.push((error) => (error ? reject(error) : resolve(number)));
    });
  };
  return { finish, read: shareReads((key: string) => key, read), begun: () => begun };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('who asks while a read runs shares the next one, which began after they asked', async () => {
  const { finish, read, begun } = controlled();
  const first = read('a');
  await settled();
  const waiting = [read('a'), read('a'), read('a')];
  expect(begun()).toBe(1);
  finish[0]!();
  expect(await first).toBe(1);
  await settled();
  expect(begun()).toBe(2);
  const later = read('a');
  finish[1]!();
  expect(await Promise.all(waiting)).toEqual([2, 2, 2]);
  await settled();
  finish[2]!();
  expect(await later).toBe(3);
});

test('those who ask in the same turn share one read, which begins after they asked', async () => {
  const { finish, read, begun } = controlled();
  const together = [read('a'), read('a'), Promise.resolve().then(() => read('a'))];
  await Promise.resolve();
  expect(begun()).toBe(0);
  await settled();
  finish[0]!();
  expect(await Promise.all(together)).toEqual([1, 1, 1]);
  expect(begun()).toBe(1);
});

test('different keys do not wait for each other, and nothing is remembered', async () => {
  const { finish, read, begun } = controlled();
  const both = [read('a'), read('b')];
  await settled();
  expect(begun()).toBe(2);
  finish[0]!();
  finish[1]!();
  expect(await Promise.all(both)).toEqual([1, 2]);
  const again = read('a');
  await settled();
  finish[2]!();
  expect(await again).toBe(3);
});

test('a read that fails fails for those who share it, and the next one is tried', async () => {
  const { finish, read } = controlled();
  const first = read('a');
  await settled();
  const second = read('a');
  finish[0]!(new Error('broken'));
  await expect(first).rejects.toThrow('broken');
  await settled();
  finish[1]!();
  expect(await second).toBe(2);
});
