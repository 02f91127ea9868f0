import { randomBytes, randomUUID } from 'node:crypto';
import {
  AccountSASPermissions,
  AccountSASResourceTypes,
  AccountSASServices,
  ContainerSASPermissions,
  generateAccountSASQueryParameters,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AzureAccess } from '../../../src/storage/azure/credentials.ts';
import { blockId } from '../../../src/storage/azure/names.ts';
import { examineAzureStore } from '../../../src/storage/azure/prepare.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';
import { repeatWith } from '../../../src/storage/retry.ts';
import { abandoned, bytesOf, failing, hanging, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import {
  type AzuriteWithContainer,
  azureError,
  containerName,
  MiB,
  startAzuriteWithContainer,
  storeAt,
  storeOptions,
} from './servers.ts';

let server: AzuriteWithContainer;
beforeAll(async () => {
  server = await startAzuriteWithContainer();
});
afterAll(() => server?.close());
beforeEach(() => server.empty());

const here = (more = '') => storeAt(server, undefined, { more });
const put = (store: ObjectStore, bytes: Uint8Array, ifAbsent = false) =>
  store.put('data', inChunks(bytes), { signal: never, ifAbsent });
const blob = (name: string) => server.client.getBlockBlobClient(name);
const hour = 3_600_000;

/** A put that waits after two blocks, and what ends it. */
async function hangingPut(store: ObjectStore) {
  const hangs = Promise.withResolvers<void>();
  const ending = Promise.withResolvers<void>();
  const abort = new AbortController();
  const source = async function* () {
    yield* inChunks(randomBytes(11 * MiB));
    hangs.resolve();
    await ending.promise;
  };
  const outcome = store.put('data', source(), { signal: abort.signal }).then(
    () => 'done',
    (error: unknown) => error,
  );
  await hangs.promise;
  await expect
    .poll(async () => (await server.remains()).join(), { timeout: 10_000 })
    .toMatch(/data \(2 blocks\)/);
  return { outcome, end: () => ending.resolve(), abort: () => abort.abort(new Error('aborted')) };
}

describe('two processes that put the same key', () => {
  it('end with the object of one of them, whole; the other fails and may be repeated', async () => {
    const slow = await hangingPut(here());
    const bytes = randomBytes(7 * MiB);
    expect(await put(here(), bytes)).toEqual({ size: bytes.length });
    slow.end();
    expect(await slow.outcome).toMatchObject({ code: 'StoreUnavailable' });
    expect((await server.bytesUnder('site/data'))?.equals(bytes)).toBe(true);
  });

  it('do not take each other’s blocks away when one of them fails', async () => {
    const slow = await hangingPut(here());
    const failure = new Error('the source failed');
    const putting = here().put('data', failing(11 * MiB, failure), { signal: never });
    await expect(putting).rejects.toBe(failure);
    slow.end();
    expect(await slow.outcome).toBe('done');
    expect((await server.bytesUnder('site/data'))?.length).toBe(11 * MiB);
    expect(await server.remains()).toEqual([]);
  });
});

describe('two puts of one process at the same key', () => {
  it('take turns; one that waits can be aborted', async () => {
    const store = here();
    const slow = await hangingPut(store);
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = store.put('data', inChunks(randomBytes(6 * MiB)), { signal: abort.signal });
    const last = put(store, Buffer.from('last'));
    setTimeout(() => abort.abort(reason), 50);
    await expect(waiting).rejects.toBe(reason);
    slow.end();
    expect(await slow.outcome).toBe('done');
    expect(await last).toEqual({ size: 4 });
    expect((await server.bytesUnder('site/data'))?.toString()).toBe('last');
  });
});

describe('the empty blob that discards blocks', () => {
  const placeholder = () => blob('site/data').upload('', 0, { metadata: { forestayplaceholder: 'true' } });

  it('is no object to anybody, even if whoever put it was killed', async () => {
    await placeholder();
    const store = here();
    const missing = { code: 'ObjectMissing' };
    expect(await store.head('data', never)).toBeUndefined();
    expect(await keysOf(store.list('', never))).toEqual([]);
    await expect(store.get('data', { signal: never })).rejects.toMatchObject(missing);
    for (const range of [
      { start: 0, end: 0 },
      { start: 0, end: 5 },
      { start: 3, end: 5 },
    ])
      await expect(store.get('data', { signal: never, range })).rejects.toMatchObject(missing);
  });

  it.each([5, 6 * MiB])('is in the way of nobody, also not with ifAbsent (%i bytes)', async (size) => {
    const repeat = repeatWith({ attempts: 3, firstDelayMs: 1, maxDelayMs: 5 });
    const bytes = randomBytes(size);
    await placeholder();
    expect(await put(storeAt(server, undefined, { repeat }), bytes, true)).toEqual({ size });
    expect((await server.bytesUnder('site/data'))?.equals(bytes)).toBe(true);
    await server.empty();
    await placeholder();
    expect(await put(here(), bytes)).toEqual({ size });
  });

  it('is removed when it is old', async () => {
    await placeholder();
    expect(await here().removeAbandonedPuts?.(abandoned({ before: new Date(Date.now() - hour) }))).toBe(0);
    expect(await here().removeAbandonedPuts?.(abandoned({ before: new Date(Date.now() + hour) }))).toBe(1);
    expect(await server.bytesUnder('site/data')).toBeUndefined();
  });
});

it('blocks that somebody’s crash left are removed when they are old, and no others', async () => {
  const begun = (ms: number, index = 0) => blockId({ putId: randomUUID(), startedAt: new Date(ms) }, index);
  const old = Date.now() - 48 * hour;
  const stage = (name: string, id: string) => blob(name).stageBlock(id, 'bytes', 5);
  await stage('site/guid/old', begun(old));
  await stage('site/guid/young', begun(Date.now()));
  await stage('site/guid/both', begun(old));
  await stage('site/guid/both', begun(Date.now(), 1));
  await stage('site/guid/theirs', Buffer.from('somebody else').toString('base64'));
  await stage('other/guid/old', begun(old));
  await stage('site2/guid/old', begun(old));
  await blob('site/guid/empty').upload('', 0);
  const store = here();
  const live = await hangingPut(store);

  expect(await store.removeAbandonedPuts?.(abandoned({ before: new Date(Date.now() - 24 * hour) }))).toBe(1);
  const left = [
    'other/guid/old',
    'site/data',
    'site/guid/both',
    'site/guid/theirs',
    'site/guid/young',
    'site2/guid/old',
  ];
  expect((await server.remains()).map((name) => name.split(' ')[0]).sort()).toEqual(left);
  // What this process is at stays, however old it seems.
  await store.removeAbandonedPuts?.(abandoned({ before: new Date(Date.now() + hour) }));
  expect(await server.remains()).toContain('site/data (2 blocks)');
  expect(await server.bytesUnder('site/guid/empty')).toHaveLength(0);
  live.abort();
  expect(await live.outcome).toMatchObject({ message: 'aborted' });
  expect((await server.remains()).filter((name) => name.startsWith('site/data'))).toEqual([]);
});

it('a put that fails where an object lies leaves the object alone', async () => {
  const store = here();
  await put(store, randomBytes(6 * MiB));
  const before = await blob('site/data').getProperties();
  const failure = new Error('no');
  const putting = store.put('data', failing(12 * MiB, failure), { signal: never });
  await expect(putting).rejects.toBe(failure);
  const after = await blob('site/data').getProperties();
  expect([after.etag, after.contentLength]).toEqual([before.etag, before.contentLength]);
});

describe('a presigned URL', () => {
  const large = randomBytes(6 * MiB);
  beforeEach(async () => {
    await here().put('guid/data', inChunks(large), { signal: never });
    await here().put('guid/manifest.json', inChunks(Buffer.from('{}')), { signal: never });
  });

  it('gives anybody the object, ranges included, until it expires', async () => {
    const presign = here('&presign=true').presign!;
    const url = await presign('guid/data', { ttlSeconds: 60, fileName: 'backup-1.enc' });
    const whole = await fetch(url);
    expect(whole.headers.get('content-disposition')).toBe('attachment; filename="backup-1.enc"');
    expect(Buffer.from(await whole.arrayBuffer()).equals(large)).toBe(true);
    const part = await fetch(url, { headers: { range: 'bytes=5-9' } });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(large.subarray(5, 10))).toBe(true);
    expect((await fetch(url.replace('guid/data', 'guid/manifest.json'))).status).toBe(403);
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
    expect(url).not.toContain(server.access.secret);
    const short = await presign('guid/data', { ttlSeconds: 1 });
    await expect
      .poll(async () => (await fetch(short, { headers: { range: 'bytes=0-0' } })).status, { timeout: 10_000 })
      .toBe(403);
  });

  it('is not made where it was not wanted, for a key that is none, or without the account key', async () => {
    expect(here().presign).toBeUndefined();
    const presign = here('&presign=true').presign!;
    const refused = { code: 'BadRequest' };
    await expect(presign('../x', { ttlSeconds: 60 })).rejects.toMatchObject(refused);
    await expect(presign('x', { ttlSeconds: 0 })).rejects.toMatchObject(refused);
    await expect(presign('x', { ttlSeconds: 700_000 })).rejects.toMatchObject(refused);
    await expect(presign('x', { ttlSeconds: 60, fileName: 'a"b' })).rejects.toMatchObject(refused);
    const access = { kind: 'sas', secret: 'sig=x', endpoint: undefined } as const;
    expect(() => storeAt(server, undefined, { more: '&presign=true', access })).toThrow(/needs the key/);
  });
});

describe('a shared access signature', () => {
  const credential = () => new StorageSharedKeyCredential(server.account, server.access.secret);
  const expiresOn = new Date(Date.now() + hour);
  const access = (secret: string): AzureAccess => ({ kind: 'sas', secret, endpoint: undefined });
  const ofContainer = (permissions: string) =>
    access(
      generateBlobSASQueryParameters(
        { containerName, permissions: ContainerSASPermissions.parse(permissions), expiresOn },
        credential(),
      ).toString(),
    );

  it('of the container is enough for everything with the rights of the documentation', async () => {
    const store = storeAt(server, undefined, { access: ofContainer('rcwdl') });
    const bytes = randomBytes(6 * MiB);
    await put(store, bytes, true);
    expect((await bytesOf(await store.get('data', { signal: never }))).equals(bytes)).toBe(true);
    expect(await keysOf(store.list('', never))).toEqual(['data']);
    const failure = new Error('no');
    await expect(store.put('b', failing(12 * MiB, failure), { signal: never })).rejects.toBe(failure);
    expect(await server.remains()).toEqual([]);
    await store.delete(['data'], never);
    expect(await store.removeAbandonedPuts?.(abandoned({ before: new Date() }))).toBe(0);
  });

  it('that may not write, or has expired, is refused', async () => {
    const reader = storeAt(server, undefined, { access: ofContainer('rl') });
    await expect(put(reader, Buffer.from('x'))).rejects.toMatchObject({
      code: 'StoreDenied',
      hint: expect.stringContaining('rights'),
    });
    const expired = generateAccountSASQueryParameters(
      {
        expiresOn: new Date(Date.now() - hour),
        permissions: AccountSASPermissions.parse('rwdlac'),
        resourceTypes: AccountSASResourceTypes.parse('co').toString(),
        services: AccountSASServices.parse('b').toString(),
      },
      credential(),
    ).toString();
    const late = storeAt(server, undefined, { access: access(expired) });
    await expect(put(late, Buffer.from('x'))).rejects.toMatchObject({
      code: 'StoreDenied',
      hint: expect.stringMatching(/expired|rights/),
    });
  });
});

describe('the look at the start', () => {
  const look = (changes: { origin?: string; access?: AzureAccess; container?: string; account?: string }) => {
    const { origin, access = server.access, ...others } = changes;
    const options = storeOptions(server, origin, { access });
    return examineAzureStore({ ...options, location: { ...options.location, ...others } }, never);
  };

  it('has a sentence about endpoint, credentials and clock, and leaves nothing', async () => {
    expect(await look({})).toEqual([
      `The endpoint ${server.endpoint} answers`,
      `The credentials are right and may list the container ${containerName}`,
      'Its clock and that of this machine agree',
    ]);
    expect(await keysOf(here().list('', never))).toEqual([]);
  });

  const otherKey = {
    kind: 'key',
    secret: Buffer.alloc(64, 7).toString('base64'),
    endpoint: undefined,
  } as const;
  it.each([
    ['a wrong key', { access: otherKey }, /does not (take|allow)/],
    ['an account that is another', { account: 'another' }, /does not (take|allow)/],
    ['a container that is not there', { container: 'nothing-here' }, /no such container/],
  ])('refuses %s', async (_, changes, message) => {
    await expect(look(changes)).rejects.toMatchObject({
      code: 'Misconfigured',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/./),
    });
  });

  it('says of http where https is spoken, or the other way round, that they are mixed up', async () => {
    const origin = new URL(server.endpoint).origin.replace('http:', 'https:');
    await expect(look({ origin })).rejects.toMatchObject({ hint: expect.stringContaining('mixed up') });
  });

  it('may be repeated when nothing answers', async () => {
    await expect(look({ origin: 'http://127.0.0.1:1' })).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it('says by how much the clock is wrong', async () => {
    const proxy = await startFaultProxy(server.endpoint);
    try {
      const dateIn = (minutes: number) => ({ date: new Date(Date.now() + minutes * 60_000).toUTCString() });
      const body =
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="c"><Blobs/><NextMarker/></EnumerationResults>';
      proxy.setRule(() => ({ kind: 'answer', status: 200, headers: dateIn(10), body }));
      const [, , clock] = await look({ origin: proxy.url });
      expect(clock).toMatch(/^Its clock is (59\d|60\d) seconds ahead/);
      proxy.setRule(() => azureError(403, 'AuthenticationFailed', dateIn(60)));
      await expect(look({ origin: proxy.url })).rejects.toMatchObject({
        code: 'Misconfigured',
        hint: expect.stringContaining('clock'),
      });
    } finally {
      await proxy.close();
    }
  });
});

it('a source that hangs while the store is gone does not hold up an abort', async () => {
  const abort = new AbortController();
  const reason = new Error('enough');
  const source = hanging(6 * MiB, () => setTimeout(() => abort.abort(reason), 20));
  await expect(here().put('data', source, { signal: abort.signal })).rejects.toBe(reason);
  expect(await server.remains()).toEqual([]);
});
