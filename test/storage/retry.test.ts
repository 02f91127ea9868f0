import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { type RetryPolicy, repeatWith, retrying } from '../../src/storage/retry.ts';
import { bytesOf, inChunks, keysOf, never } from '../contract/store-data.ts';

const quick: RetryPolicy = { attempts: 4, firstDelayMs: 1, maxDelayMs: 20 };
const unavailable = (retryAfterMs?: number) =>
  new ForestayError('StoreUnavailable', 'away', { retryAfterMs });
const denied = new ForestayError('StoreDenied', 'no');

/** Fails so many times with the error, then succeeds. */
function failing(times: number, error: () => unknown) {
  const state = { calls: 0 };
  const step = async () => {
    state.calls += 1;
    if (state.calls <= times) throw error();
    return 'done';
  };
  return { state, step };
}

/** A store of which every call fails at first, before it does anything. */
function flaky(failures: number) {
  const objects = new Map<string, Buffer>();
  const calls: string[] = [];
  const failAtFirst = (what: string) => {
    calls.push(what);
    if (calls.filter((call) => call === what).length <= failures) throw unavailable();
  };
  const store: ObjectStore = {
    name: 'flaky',
    async put(key, source) {
      if (calls.length < failures) {
        // As adapters do: what is not read is closed.
        await source[Symbol.asyncIterator]().return?.();
        if (source instanceof Readable) source.destroy();
      }
      failAtFirst('put');
      const bytes = await bytesOf(source);
      objects.set(key, bytes);
      return { size: bytes.length };
    },
    async get(key) {
      failAtFirst('get');
      return Readable.from([objects.get(key)!]);
    },
    async head(key) {
      failAtFirst('head');
      return { key, size: objects.get(key)!.length, modifiedAt: new Date(0) };
    },
    async *list() {
      failAtFirst('list');
      for (const [key, { length }] of objects) yield { key, size: length, modifiedAt: new Date(0) };
    },
    async delete(keys) {
      failAtFirst('delete');
      for (const key of keys) objects.delete(key);
    },
  };
  return { store, calls, objects };
}

describe('repeating', () => {
  it('goes on until it succeeds', async () => {
    const { state, step } = failing(3, unavailable);
    expect(await repeatWith(quick)(step, never)).toBe('done');
    expect(state.calls).toBe(4);
  });

  it('gives up with the last reason', async () => {
    let count = 0;
    const { state, step } = failing(9, () => new ForestayError('StoreTimeout', `try ${++count}`));
    await expect(repeatWith(quick)(step, never)).rejects.toThrow('try 4');
    expect(state.calls).toBe(4);
  });

  it.each([
    ['what somebody must change', denied],
    ['what nobody expected', new TypeError('a fault')],
  ])('does not repeat %s', async (_, error) => {
    const { state, step } = failing(9, () => error);
    await expect(repeatWith(quick)(step, never)).rejects.toBe(error);
    expect(state.calls).toBe(1);
  });

  it('waits longer each time, by chance up to double', async () => {
    const policy = { attempts: 5, firstDelayMs: 20, maxDelayMs: 45 };
    const waited = async (random: number) => {
      const started = performance.now();
      await repeatWith({ ...policy, random: () => random })(failing(4, unavailable).step, never);
      return performance.now() - started;
    };
    // 20 + 40 + 45 + 45, and half of it.
    expect(await waited(1)).toBeGreaterThan(145);
    expect(await waited(0)).toBeGreaterThan(70);
  });

  it('waits as long as the store asks for, and gives up when that is too long', async () => {
    const started = performance.now();
    await repeatWith({ ...quick, maxDelayMs: 500 })(failing(1, () => unavailable(200)).step, never);
    expect(performance.now() - started).toBeGreaterThan(190);
    const { state, step } = failing(1, () => unavailable(60_000));
    await expect(repeatWith(quick)(step, never)).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(state.calls).toBe(1);
  });

  it('ends at once when it is aborted while it waits', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const slow = repeatWith({ attempts: 9, firstDelayMs: 60_000, maxDelayMs: 60_000 });
    setTimeout(() => abort.abort(reason), 20);
    const started = performance.now();
    await expect(slow(failing(9, unavailable).step, abort.signal)).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(5_000);
    const { state, step } = failing(0, unavailable);
    await expect(slow(step, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(state.calls).toBe(0);
  });
});

describe('a retrying store', () => {
  it('repeats every call that has not begun', async () => {
    const { store, objects } = flaky(2);
    const patient = retrying(store, repeatWith(quick));
    const source = Readable.from(inChunks(Buffer.from('bytes')));
    expect(await patient.put('a', source, { signal: never })).toEqual({ size: 5 });
    expect((await bytesOf(await patient.get('a', { signal: never }))).toString()).toBe('bytes');
    expect((await patient.head('a', never))?.size).toBe(5);
    expect(await keysOf(patient.list('', never))).toEqual(['a']);
    await patient.delete(['a'], never);
    expect(objects.size).toBe(0);
    expect(patient.removeAbandonedPuts).toBeUndefined();
    expect(patient.name).toBe('flaky');
  });

  it('closes a source that no try has read from', async () => {
    const patient = retrying(flaky(99).store, repeatWith(quick));
    const source = Readable.from(inChunks(Buffer.from('bytes')));
    await expect(patient.put('a', source, { signal: never })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    expect(source.destroyed).toBe(true);
  });

  it('never repeats a put that has read from its source, whatever the reason', async () => {
    let calls = 0;
    const store: ObjectStore = {
      ...flaky(0).store,
      async put(_, source) {
        calls += 1;
        for await (const _ of source) break;
        throw unavailable();
      },
    };
    const source = Readable.from(inChunks(Buffer.from('bytes')));
    const putting = retrying(store, repeatWith(quick)).put('a', source, { signal: never });
    await expect(putting).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(calls).toBe(1);
    expect(source.destroyed).toBe(true);
  });

  it('never lists an object twice: a list that fails half-way fails', async () => {
    let calls = 0;
    const store: ObjectStore = {
      ...flaky(0).store,
      async *list() {
        calls += 1;
        yield { key: 'a', size: 1, modifiedAt: new Date(0) };
        throw unavailable();
      },
    };
    const keys: string[] = [];
    const reading = async () => {
      for await (const { key } of retrying(store, repeatWith(quick)).list('', never)) keys.push(key);
    };
    await expect(reading()).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect([keys, calls]).toEqual([['a'], 1]);
  });
});
