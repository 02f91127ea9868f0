import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { repeatWith } from '../../../src/storage/retry.ts';
import { abandoned, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { type FakeS3, type FakeS3Options, startFakeS3 } from '../../support/fake-s3.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { storeAt, type TestStoreOptions } from './servers.ts';

/** Servers that speak like S3 and not quite. */

const MiB = 1024 * 1024;
let server: FakeS3 | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function withServer(options: FakeS3Options, storeOptions: TestStoreOptions = {}) {
  server = await startFakeS3(options);
  return { server, store: storeAt(server.endpoint, storeOptions) };
}

function fill({ objects }: FakeS3, count: number): string[] {
  const keys = Array.from({ length: count }, (_, index) => `f${index % 7}/object-${index}`);
  for (const key of keys)
    objects.set(`site/${key}`, { bytes: Buffer.alloc(1), etag: 'e', modifiedAt: new Date(), metadata: {} });
  return keys.sort();
}

describe('a conditional write', () => {
  const race = async (store: ReturnType<typeof storeAt>, size: number) => {
    const candidates = [Buffer.alloc(size, 'a'), Buffer.alloc(size, 'b'), Buffer.alloc(size, 'c')];
    const outcomes = await Promise.allSettled(
      candidates.map((bytes) =>
        store.put(`race-${size}`, inChunks(bytes), { signal: never, ifAbsent: true }),
      ),
    );
    const lost = outcomes.filter(({ status }) => status === 'rejected');
    expect(lost).toHaveLength(2);
    for (const outcome of lost) expect(outcome).toMatchObject({ reason: { code: 'ObjectExists' } });
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    expect(server?.objects.get(`site/race-${size}`)?.bytes.equals(candidates[winner]!)).toBe(true);
  };

  it.each(['honoured', 'ignored', 'only for puts'] as const)(
    'has exactly one winner in a process where the server leaves conditions %s, and leaves no trace of finding that out',
    async (conditions) => {
      const { server, store } = await withServer({ conditions });
      await race(store, 10);
      await race(store, 6 * MiB);
      expect([...server.objects.keys()].sort()).toEqual(['site/race-10', `site/race-${6 * MiB}`]);
      expect(server.uploads.size).toBe(0);
    },
  );

  it('has exactly one winner among processes where the server decides', async () => {
    const { server } = await withServer({});
    // Stores that know nothing of each other.
    for (const size of [10, 6 * MiB]) {
      const stores = [1, 2, 3, 4].map(() => storeAt(server.endpoint));
      const outcomes = await Promise.allSettled(
        stores.map((store) =>
          store.put(`race-${size}`, inChunks(randomBytes(size)), { signal: never, ifAbsent: true }),
        ),
      );
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    }
  });

  it('is tried out once', async () => {
    const { server, store } = await withServer({});
    for (const key of ['a', 'b', 'c'])
      await store.put(key, inChunks(Buffer.from('x')), { signal: never, ifAbsent: true });
    expect(
      server.requests.filter(({ line }) => line.includes('.forestay-probe-') && line.startsWith('DELETE')),
    ).toHaveLength(2);
  });
});

describe('a list', () => {
  it.each(['as documented', 'without token', 'full and not truncated', 'empty between'] as const)(
    'is complete when its pages come %s',
    async (pages) => {
      const { server, store } = await withServer({ pages });
      const keys = fill(server, 2_345);
      expect(await keysOf(store.list('', never))).toEqual(keys);
      // Exactly full pages are where lists end early.
      server.objects.clear();
      const full = fill(server, 2_000);
      expect(await keysOf(store.list('', never))).toEqual(full);
    },
  );

  it('fails, instead of going round in circles, when the server gives the first page again', async () => {
    const { server, store } = await withServer({ pages: 'always the first' });
    fill(server, 1_500);
    await expect(keysOf(store.list('', never))).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it('shows nothing that is not an object of the store', async () => {
    const { server, store } = await withServer({});
    const object = { bytes: Buffer.alloc(1), etag: 'e', modifiedAt: new Date(), metadata: {} };
    const strange = [
      'site/',
      'site/a/',
      'site/.hidden',
      'site/a b',
      'site/ä&<>',
      'site/.forestay-probe-1',
      'site2/a',
      'other',
    ];
    for (const key of [...strange, 'site/a/b']) server.objects.set(key, object);
    expect(await keysOf(store.list('', never))).toEqual(['a/b']);
  });
});

describe('deleting', () => {
  it('takes one request for each object where the server cannot delete several at once', async () => {
    const { server, store } = await withServer({ noMultiDelete: true });
    const keys = fill(server, 12);
    await store.delete([...keys.slice(0, 10), 'nothing'], never);
    expect(await keysOf(store.list('', never))).toEqual(keys.slice(10));
  });
});

describe('a bucket of 25,000 objects', () => {
  it('is listed completely although every third request for a page fails', async () => {
    const { server } = await withServer({});
    const proxy = await startFaultProxy(server.endpoint);
    try {
      const keys = fill(server, 25_000);
      const repeat = repeatWith({ attempts: 3, firstDelayMs: 1, maxDelayMs: 5 });
      proxy.setRule((_, seen) =>
        seen % 3 === 1 ? { kind: 'cut', bytes: 10_000, ending: 'reset' } : undefined,
      );
      expect(await keysOf(storeAt(proxy.url, { repeat }).list('', never))).toEqual(keys);
      expect(proxy.requests.length).toBeGreaterThan(35);
    } finally {
      await proxy.close();
    }
  });
});

describe('what is sent', () => {
  it('has Content-MD5 and none of the newer headers, unless a checksum is asked for', async () => {
    const { server, store } = await withServer({});
    await store.put('small', inChunks(Buffer.from('x')), { signal: never });
    await store.put('large', inChunks(randomBytes(6 * MiB)), { signal: never });
    await store.delete(['small', 'large'], never);
    const newer = /^x-amz-(sdk-)?checksum/;
    for (const { headers } of server.requests)
      expect(Object.keys(headers).filter((name) => newer.test(name))).toEqual([]);
    const bodies = server.requests.filter(({ line }) => /^PUT|POST \S+delete/.test(line));
    expect(bodies.length).toBeGreaterThan(3);
    for (const { headers } of bodies) expect(headers['content-md5']).toMatch(/==$/);

    const checked = storeAt(server.endpoint, { more: '&checksum=crc32' });
    server.requests.length = 0;
    await checked.put('large', inChunks(randomBytes(6 * MiB)), { signal: never });
    const parts = server.requests.filter(({ line }) => line.includes('partNumber'));
    for (const { headers } of parts) expect(headers['x-amz-checksum-crc32']).toMatch(/^.{6}==$/);
    expect(parts).toHaveLength(2);
  });
});

describe('an upload', () => {
  it('that was abandoned is removed: of ours below the prefix, old enough, and not one that is under way', async () => {
    const { server, store } = await withServer({});
    const old = new Date(Date.now() - 48 * 3_600_000);
    const upload = (name: string, initiated = old) => ({
      name,
      initiated,
      metadata: {},
      parts: new Map<number, Buffer>(),
    });
    server.uploads.set('1', upload('site/guid/data'));
    server.uploads.set('2', upload('site/guid/young', new Date()));
    server.uploads.set('3', upload('other/guid/data'));
    server.uploads.set('4', upload('site2/guid/data'));
    server.uploads.set('5', upload('site/of-another-site/data'));
    server.objects.set('site/.forestay-probe-x', {
      bytes: Buffer.alloc(1),
      etag: 'e',
      modifiedAt: old,
      metadata: {},
    });
    let hung: () => void = () => {};
    const hangs = new Promise<void>((resolve) => {
      hung = resolve;
    });
    const abort = new AbortController();
    const source = async function* () {
      yield randomBytes(6 * MiB);
      hung();
      await new Promise(() => {});
    };
    const putting = store.put('live', source(), { signal: abort.signal });
    putting.catch(() => {});
    await hangs;
    const [liveId = ''] = [...server.uploads].find(([, { name }]) => name === 'site/live') ?? [];
    server.uploads.set(liveId, { ...server.uploads.get(liveId)!, initiated: old });

    const before = new Date(Date.now() - 24 * 3_600_000);
    const isOurs = (key: string) => !key.startsWith('of-another-site/');
    expect(await store.removeAbandonedPuts?.(abandoned({ before, isOurs }))).toBe(1);
    expect([...server.uploads.keys()].sort()).toEqual(['2', '3', '4', '5', liveId].sort());
    expect(server.objects.size).toBe(0);
    abort.abort();
    await expect(putting).rejects.toThrow();
    expect(server.uploads.has(liveId)).toBe(false);
  });
});
