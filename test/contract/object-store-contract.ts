import { randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import {
  abandoned,
  bytesOf,
  failing,
  generated,
  hanging,
  heldBytes,
  inChunks,
  keysOf,
  never,
} from './store-data.ts';

/** An adapter on a real server (or folder), and what only the adapter's tests know how to look at. */
export interface StoreFixture {
  readonly store: ObjectStore;
  /** What puts left that nobody sees under a key: temporary files, unfinished uploads. Names of any kind. */
  remains(): Promise<readonly string[]>;
  /** Open files, or requests under way, that belong to objects being read or written; idle connections do not count. */
  openHandles(): Promise<number>;
  close(): Promise<void>;
}

export interface ContractOptions {
  /** Objects in the test of complete listings: more than two pages of a store that answers in pages. */
  readonly listedObjects?: number;
  /** Bytes of buffers that a put or get may hold at a time. */
  readonly heldBytesAllowed?: number;
}

const MiB = 1024 * 1024;

/** The port's contract as tests. Every adapter runs it; one fixture serves all tests, each under a prefix of its own. */
export function describeObjectStore(
  name: string,
  makeFixture: () => Promise<StoreFixture>,
  { listedObjects = 2_500, heldBytesAllowed = 64 * MiB }: ContractOptions = {},
): void {
  describe(`${name} keeps the contract of object stores`, () => {
    let fixture: StoreFixture;
    let store: ObjectStore;
    let prefix: string;

    const put = (key: string, bytes: Uint8Array, ifAbsent = false) =>
      store.put(key, inChunks(bytes), { signal: never, ifAbsent });
    const get = async (key: string, range?: { start: number; end: number }) =>
      bytesOf(await store.get(key, range ? { signal: never, range } : { signal: never }));

    beforeAll(async () => {
      fixture = await makeFixture();
      store = fixture.store;
    });
    beforeEach(() => {
      prefix = `${randomUUID()}/`;
    });
    afterEach(async () => {
      await vi.waitFor(async () => expect(await fixture.openHandles()).toBe(0), { timeout: 10_000 });
      expect(await fixture.remains()).toEqual([]);
      await store.delete(await keysOf(store.list(prefix, never)), never);
    });
    afterAll(() => fixture?.close());

    describe('put and get', () => {
      const sizes = [0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 20 * MiB];
      it.each(sizes)('gives %i bytes of unknown length back as they were', async (size) => {
        const bytes = randomBytes(size);
        const before = Date.now();
        expect(await put(`${prefix}data`, bytes)).toEqual({ size });
        const info = await store.head(`${prefix}data`, never);
        expect(info).toMatchObject({ key: `${prefix}data`, size });
        // Servers have clocks of their own, and some count whole seconds.
        expect(Math.abs((info?.modifiedAt.getTime() ?? 0) - before)).toBeLessThan(300_000);
        expect((await get(`${prefix}data`)).equals(bytes)).toBe(true);
      });

      it('takes a Node stream as source, and one huge chunk as well as single bytes', async () => {
        const bytes = randomBytes(9 * MiB);
        await store.put(`${prefix}stream`, Readable.from(inChunks(bytes)), { signal: never });
        await store.put(`${prefix}huge`, inChunks(bytes, bytes.length), { signal: never });
        await store.put(`${prefix}tiny`, inChunks(bytes.subarray(0, 5_000), 1), { signal: never });
        expect((await get(`${prefix}stream`)).equals(bytes)).toBe(true);
        expect((await get(`${prefix}huge`)).equals(bytes)).toBe(true);
        expect((await get(`${prefix}tiny`)).equals(bytes.subarray(0, 5_000))).toBe(true);
      });

      it('replaces an object, also by a shorter one', async () => {
        await put(`${prefix}data`, randomBytes(6 * MiB));
        await put(`${prefix}data`, Buffer.from('new'));
        expect((await get(`${prefix}data`)).toString()).toBe('new');
        expect((await store.head(`${prefix}data`, never))?.size).toBe(3);
      });

      it('takes keys with every allowed character, as long as they may be', async () => {
        const key = `${prefix}aZ09._-/${'x'.repeat(200)}/${'y'.repeat(200)}`;
        await put(key, Buffer.from('bytes'));
        expect(await keysOf(store.list(prefix, never))).toEqual([key]);
        expect((await get(key)).toString()).toBe('bytes');
      });

      it('says at once that an object is missing', async () => {
        await expect(store.get(`${prefix}nothing`, { signal: never })).rejects.toMatchObject({
          code: 'ObjectMissing',
        });
        const range = { start: 5, end: 6 };
        await expect(store.get(`${prefix}nothing`, { signal: never, range })).rejects.toMatchObject({
          code: 'ObjectMissing',
        });
        expect(await store.head(`${prefix}nothing`, never)).toBeUndefined();
      });

      it('leaves one whole object when several puts of one key run at once', async () => {
        const candidates = [1, 2, 3, 4].map((letter) => Buffer.alloc(6 * MiB + letter, letter));
        await Promise.all(candidates.map((bytes) => put(`${prefix}data`, bytes)));
        const found = await get(`${prefix}data`);
        expect(candidates.some((bytes) => bytes.equals(found))).toBe(true);
      });
    });

    describe('put with ifAbsent', () => {
      it('stores what is not there, and refuses to replace what is', async () => {
        expect(await put(`${prefix}data`, Buffer.from('first'), true)).toEqual({ size: 5 });
        await expect(put(`${prefix}data`, Buffer.from('second'), true)).rejects.toMatchObject({
          code: 'ObjectExists',
        });
        expect((await get(`${prefix}data`)).toString()).toBe('first');
      });

      it('lets exactly one of two win that run at once', async () => {
        for (const size of [10, 6 * MiB]) {
          const key = `${prefix}race-${size}`;
          const candidates = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b')];
          const outcomes = await Promise.allSettled(candidates.map((bytes) => put(key, bytes, true)));
          const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
          expect(outcomes[1 - winner]).toMatchObject({
            status: 'rejected',
            reason: { code: 'ObjectExists' },
          });
          expect((await get(key)).equals(candidates[winner]!)).toBe(true);
        }
      });
    });

    describe('a put that does not finish', () => {
      it.each([0, 1_000, 12 * MiB])('leaves nothing when its source fails after %i bytes', async (bytes) => {
        const error = new Error('the source failed');
        const putting = store.put(`${prefix}a/data`, failing(bytes, error), { signal: never });
        await expect(putting).rejects.toBe(error);
        expect(await keysOf(store.list(prefix, never))).toEqual([]);
      });

      it('leaves the old object as it was', async () => {
        await put(`${prefix}data`, Buffer.from('old'));
        const putting = store.put(`${prefix}data`, failing(12 * MiB, new Error('no')), { signal: never });
        await expect(putting).rejects.toThrow('no');
        expect((await get(`${prefix}data`)).toString()).toBe('old');
      });

      it.each([0, 1_000, 12 * MiB])('leaves nothing when it is aborted after %i bytes', async (bytes) => {
        const abort = new AbortController();
        const reason = new Error('changed my mind');
        const source = hanging(bytes, () => setTimeout(() => abort.abort(reason), 20));
        await expect(store.put(`${prefix}data`, source, { signal: abort.signal })).rejects.toBe(reason);
        expect(await keysOf(store.list(prefix, never))).toEqual([]);
      });

      it('leaves nothing when it is aborted while it writes as fast as it can', async () => {
        const reason = new Error('changed my mind');
        const abort = new AbortController();
        setTimeout(() => abort.abort(reason), 100);
        const endless = generated(Number.MAX_SAFE_INTEGER);
        await expect(store.put(`${prefix}data`, endless, { signal: abort.signal })).rejects.toBe(reason);
        expect(await store.head(`${prefix}data`, never)).toBeUndefined();
      });

      it('does not begin when it is aborted already, and lets go of its source', async () => {
        const source = Readable.from(inChunks(randomBytes(1_000)));
        const reason = new Error('too late');
        const putting = store.put(`${prefix}data`, source, { signal: AbortSignal.abort(reason) });
        await expect(putting).rejects.toBe(reason);
        expect(source.destroyed).toBe(true);
        expect(await store.head(`${prefix}data`, never)).toBeUndefined();
      });

      it('closes a source that it does not read to its end', async () => {
        const abort = new AbortController();
        const source = Readable.from(hanging(MiB, () => setTimeout(() => abort.abort(), 20)));
        await expect(store.put(`${prefix}data`, source, { signal: abort.signal })).rejects.toThrow();
        expect(source.destroyed).toBe(true);
      });

      it('is not taken for abandoned, and goes on, when it is of a key that is not ours', async () => {
        const [hung, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        const bytes = randomBytes(12 * MiB);
        const source = async function* () {
          yield* inChunks(bytes);
          hung.resolve();
          await go.promise;
        };
        const putting = store.put(`${prefix}theirs/data`, source(), { signal: never });
        await hung.promise;
        const isOurs = (key: string) => !key.startsWith(`${prefix}theirs/`);
        expect((await store.removeAbandonedPuts?.(abandoned({ isOurs }))) ?? 0).toBe(0);
        go.resolve();
        expect(await putting).toEqual({ size: bytes.length });
        expect((await get(`${prefix}theirs/data`)).equals(bytes)).toBe(true);
      });

      it('is not visible before it is whole', async () => {
        let hung: () => void = () => {};
        const hangs = new Promise<void>((resolve) => {
          hung = resolve;
        });
        const abort = new AbortController();
        const putting = store.put(`${prefix}data`, hanging(12 * MiB, hung), { signal: abort.signal });
        putting.catch(() => {});
        await hangs;
        expect(await store.head(`${prefix}data`, never)).toBeUndefined();
        expect(await keysOf(store.list(prefix, never))).toEqual([]);
        abort.abort();
        await expect(putting).rejects.toThrow();
      });
    });

    describe('ranges', () => {
      const bytes = randomBytes(3 * MiB);
      it.each([
        ['the first byte', 0, 1],
        ['some in the middle', 1_000_000, 2_500_001],
        ['all', 0, bytes.length],
        ['to beyond the end', bytes.length - 10, bytes.length + 1_000],
        ['none', 7, 7],
        ['none, beginning at the end', bytes.length, bytes.length + 5],
        ['none, beginning beyond the end', bytes.length + 1, bytes.length + 5],
      ])('gives %s', async (_, start, end) => {
        await put(`${prefix}data`, bytes);
        expect((await get(`${prefix}data`, { start, end })).equals(bytes.subarray(start, end))).toBe(true);
      });

      it('gives none of an empty object', async () => {
        await put(`${prefix}empty`, new Uint8Array(0));
        expect(await get(`${prefix}empty`, { start: 0, end: 10 })).toHaveLength(0);
      });

      it.each([
        [-1, 5],
        [5, 4],
        [0.5, 4],
      ])('refuses %d to %d', async (start, end) => {
        await put(`${prefix}data`, Buffer.from('0123456789'));
        const getting = store.get(`${prefix}data`, { signal: never, range: { start, end } });
        await expect(getting).rejects.toMatchObject({ code: 'BadRequest' });
      });
    });

    describe('list', () => {
      it(`finds all of ${listedObjects} objects, then deletes them in one call`, {
        timeout: 300_000,
      }, async () => {
        const keys = Array.from(
          { length: listedObjects },
          (_, index) => `${prefix}f${index % 40}/object-${index}`,
        );
        const left = [...keys];
        const work = async () => {
          for (let key = left.pop(); key; key = left.pop()) await put(key, Buffer.from(key));
        };
        await Promise.all(Array.from({ length: 16 }, work));
        expect(await keysOf(store.list(prefix, never))).toEqual([...keys].sort());
        await store.delete(keys, never);
        expect(await keysOf(store.list(prefix, never))).toEqual([]);
      });

      it('takes the prefix as text: a/b also matches a/bc, and a/b/ does not', async () => {
        const keys = ['a/b', 'a/bc', 'a/c/b', 'ab', 'a/bd/e'].map((key) => prefix + key);
        for (const key of keys) await put(key, Buffer.from('x'));
        const under = async (text: string) => keysOf(store.list(prefix + text, never));
        expect(await under('a/b')).toEqual(['a/b', 'a/bc', 'a/bd/e'].map((key) => prefix + key));
        expect(await under('a/bd/')).toEqual([`${prefix}a/bd/e`]);
        expect(await under('a/b/')).toEqual([]);
        expect(await under('a')).toHaveLength(5);
        expect(await under('nothing/here')).toEqual([]);
        expect(await keysOf(store.list(prefix.slice(0, -1), never))).toHaveLength(5);
        expect((await keysOf(store.list('', never))).filter((key) => key.startsWith(prefix))).toHaveLength(5);
      });

      it('says of each object what head says', async () => {
        await put(`${prefix}data`, randomBytes(1_234));
        for await (const object of store.list(prefix, never)) {
          expect(object).toMatchObject({ key: `${prefix}data`, size: 1_234 });
          const modifiedAt = (await store.head(`${prefix}data`, never))?.modifiedAt.getTime() ?? 0;
          expect(Math.abs(object.modifiedAt.getTime() - modifiedAt)).toBeLessThan(1_000);
        }
      });

      it('ends when it is aborted, and when its reader has enough', async () => {
        for (const letter of 'abcdef') await put(`${prefix}${letter}/x`, Buffer.from('x'));
        for await (const _ of store.list(prefix, never)) break;
        const abort = new AbortController();
        const reason = new Error('enough');
        const reading = async () => {
          for await (const _ of store.list(prefix, abort.signal)) abort.abort(reason);
        };
        // A store that answers in pages may hand out the rest of the page it has.
        await reading().catch((error: unknown) => expect(error).toBe(reason));
        await expect(keysOf(store.list(prefix, AbortSignal.abort(reason)))).rejects.toBe(reason);
      });
    });

    describe('delete', () => {
      it('removes what it is told and nothing else, and takes what is missing as removed', async () => {
        for (const name of ['a', 'b', 'b.c', 'd/e']) await put(prefix + name, Buffer.from('x'));
        await store.delete([`${prefix}b`, `${prefix}nothing`, `${prefix}d/e`, `${prefix}a/below`], never);
        expect(await keysOf(store.list(prefix, never))).toEqual([`${prefix}a`, `${prefix}b.c`]);
        await store.delete([], never);
        await store.delete([`${prefix}b`], never);
      });

      it('does nothing when it is aborted already', async () => {
        await put(`${prefix}a`, Buffer.from('x'));
        await expect(store.delete([`${prefix}a`], AbortSignal.abort())).rejects.toThrow();
        expect(await store.head(`${prefix}a`, never)).toBeDefined();
      });
    });

    describe('keys that are no keys', () => {
      const hostile = [
        ...[
          '',
          '/',
          '/etc/passwd',
          '..',
          '../x',
          'a/../b',
          'a/..',
          './a',
          'a/.',
          'a//b',
          'a/',
          '.hidden',
          'a/.hidden',
        ],
        ...[
          'a b',
          'a\\b',
          'a\0b',
          'a\nb',
          'ä',
          'a?b',
          'a%2fb',
          'C:a',
          '~',
          `${'a'.repeat(256)}`,
          `${'a/'.repeat(600)}a`,
        ],
      ];
      it.each(hostile.map((key) => [key]))('are refused: %j', async (key) => {
        const refused = { code: 'BadRequest' };
        const source = Readable.from(inChunks(Buffer.from('x')));
        await expect(store.put(key, source, { signal: never })).rejects.toMatchObject(refused);
        await expect(store.get(key, { signal: never })).rejects.toMatchObject(refused);
        await expect(store.head(key, never)).rejects.toMatchObject(refused);
        await put(`${prefix}kept`, Buffer.from('x'));
        await expect(store.delete([`${prefix}kept`, key], never)).rejects.toMatchObject(refused);
        expect(await store.head(`${prefix}kept`, never)).toBeDefined();
      });

      it.each(['../', '/', 'a/../', '.', 'a//', '\0'])('are no prefixes either: %j', async (text) => {
        await expect(keysOf(store.list(text, never))).rejects.toMatchObject({ code: 'BadRequest' });
      });
    });

    describe('memory and handles', () => {
      const size = 192 * MiB;

      it('does not grow with the object in a put', { timeout: 300_000 }, async () => {
        const before = heldBytes();
        let most = 0;
        const source = generated(size, (soFar) => {
          if (soFar % (16 * MiB) === 0) most = Math.max(most, heldBytes() - before);
        });
        expect(await store.put(`${prefix}data`, source, { signal: never })).toEqual({ size });
        expect(most).toBeLessThan(heldBytesAllowed);
      });

      it('does not grow in a get with a slow reader, who gets everything', { timeout: 300_000 }, async () => {
        await store.put(`${prefix}data`, generated(size), { signal: never });
        const before = heldBytes();
        const stream = await store.get(`${prefix}data`, { signal: never });
        let [read, most, nextLook] = [0, 0, 0];
        for await (const chunk of stream) {
          read += chunk.length;
          if (read < nextLook) continue;
          nextLook += 24 * MiB;
          // Time enough for a store that reads ahead to show it.
          await new Promise((resolve) => setTimeout(resolve, 150));
          most = Math.max(most, heldBytes() - before);
        }
        expect(read).toBe(size);
        expect(most).toBeLessThan(heldBytesAllowed);
      });

      // What is open after these is looked at after every test.
      it('are freed by destroying a stream: before, during and after reading', async () => {
        await put(`${prefix}data`, randomBytes(8 * MiB));
        (await store.get(`${prefix}data`, { signal: never })).destroy();
        for await (const _ of await store.get(`${prefix}data`, { signal: never })) break;
        const stream = await store.get(`${prefix}data`, { signal: never });
        await bytesOf(stream);
        stream.destroy();
      });

      it('are freed by aborting a get: before, during and without reading', async () => {
        await put(`${prefix}data`, randomBytes(8 * MiB));
        const reason = new Error('enough');
        const getting = store.get(`${prefix}data`, { signal: AbortSignal.abort(reason) });
        await expect(getting).rejects.toBe(reason);

        const during = new AbortController();
        const stream = await store.get(`${prefix}data`, { signal: during.signal });
        const reading = async () => {
          for await (const _ of stream) during.abort(reason);
        };
        await expect(reading()).rejects.toBe(reason);
        expect(stream.destroyed).toBe(true);

        const unread = new AbortController();
        const idle = await store.get(`${prefix}data`, { signal: unread.signal });
        unread.abort(reason);
        await expect(bytesOf(idle)).rejects.toBe(reason);
      });

      it('has no abandoned puts to remove after all this', async () => {
        await put(`${prefix}data`, Buffer.from('x'));
        expect((await store.removeAbandonedPuts?.(abandoned())) ?? 0).toBe(0);
        expect((await get(`${prefix}data`)).toString()).toBe('x');
      });
    });
  });
}
