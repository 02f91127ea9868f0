import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { repeatWith } from '../../../src/storage/retry.ts';
import { bytesOf, generated, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { type FaultProxy, startFaultProxy } from '../../support/fault-proxy.ts';
import {
  type AzuriteWithContainer,
  azureError,
  firstOf,
  MiB,
  startAzuriteWithContainer,
  storeAt,
  type TestStoreOptions,
} from './servers.ts';

const repeat = repeatWith({ attempts: 4, firstDelayMs: 1, maxDelayMs: 50 });

let server: AzuriteWithContainer;
let proxy: FaultProxy;

beforeAll(async () => {
  server = await startAzuriteWithContainer();
  proxy = await startFaultProxy(server.endpoint);
});
afterAll(async () => {
  await proxy?.close();
  await server?.close();
});
beforeEach(async () => {
  proxy.setRule(undefined);
  proxy.requests.length = 0;
  await server.empty();
});

const store = (options: TestStoreOptions = {}) =>
  storeAt(server, proxy.url, { silenceMs: 5_000, ...options });
const put = (bytes: Uint8Array, options: TestStoreOptions = { repeat }, ifAbsent = false) =>
  store(options).put('data', inChunks(bytes), { signal: never, ifAbsent });
const stored = async () => server.bytesUnder('site/data');
const blockSizes = async () => {
  const { committedBlocks = [] } = await server.client
    .getBlockBlobClient('site/data')
    .getBlockList('committed');
  return committedBlocks.map(({ size }) => size);
};

const blockRequest = /^PUT \S+comp=block(&|$)/;
const commitRequest = /^PUT \S+comp=blocklist/;
const putRequest = /^PUT [^?]+$/;

describe('a put whose requests fail for a while', () => {
  const bytes = randomBytes(12 * MiB);

  it.each([
    ['blocks are reset before they arrive', blockRequest, { kind: 'reset', when: 'before' }],
    ['the answers to blocks are lost', blockRequest, { kind: 'reset', when: 'after' }],
    ['blocks meet a busy server', blockRequest, azureError(503, 'ServerBusy')],
    ['blocks meet a server with a fault', blockRequest, azureError(500, 'InternalError')],
    ['blocks meet a server that is too slow for itself', blockRequest, azureError(500, 'OperationTimedOut')],
    ['blocks arrive damaged', blockRequest, azureError(400, 'Md5Mismatch')],
    ['blocks are answered by silence', blockRequest, { kind: 'silence' }],
    [
      'blocks are answered by a page',
      blockRequest,
      { kind: 'answer', status: 200, body: '<html>log in</html>' },
    ],
    [
      'the server says that it received other blocks',
      blockRequest,
      { kind: 'answer', status: 201, headers: { 'content-md5': Buffer.alloc(16).toString('base64') } },
    ],
    ['the commit is reset before it arrives', commitRequest, { kind: 'reset', when: 'before' }],
    ['the answer to the commit is lost', commitRequest, { kind: 'reset', when: 'after' }],
    ['the size cannot be read back at first', /^HEAD /, azureError(503, 'ServerBusy')],
  ] as const)('is whole although %s', async (_, kind, fault) => {
    proxy.setRule(firstOf(kind, 2, fault));
    const silenceMs = fault.kind === 'silence' ? 1_000 : 5_000;
    expect(await put(bytes, { repeat, silenceMs })).toEqual({ size: bytes.length });
    expect((await stored())?.equals(bytes)).toBe(true);
    expect(await blockSizes()).toEqual([5 * MiB, 5 * MiB, 2 * MiB]);
    expect(await server.remains()).toEqual([]);
  });

  it.each([
    ['never', { kind: 'reset', when: 'after' }],
    ['not', { kind: 'reset', when: 'before' }],
  ] as const)('of one request is done when its answer %s comes', async (_, fault) => {
    proxy.setRule(firstOf(putRequest, 2, fault));
    expect(await put(Buffer.from('small'))).toEqual({ size: 5 });
    expect((await stored())?.toString()).toBe('small');
  });

  it.each([5, 6 * MiB])(
    'with ifAbsent (%i bytes) is not taken for somebody else’s when its answer is lost',
    async (size) => {
      const some = randomBytes(size);
      const last = size > 5 * MiB ? commitRequest : putRequest;
      proxy.setRule(firstOf(last, 1, { kind: 'reset', when: 'after' }));
      expect(await put(some, { repeat }, true)).toEqual({ size });
      expect((await stored())?.equals(some)).toBe(true);
      await expect(put(some, { repeat }, true)).rejects.toMatchObject({ code: 'ObjectExists' });
    },
  );

  it.each([5, 6 * MiB])('with ifAbsent (%i bytes) never replaces what came in between', async (size) => {
    const source = async function* () {
      yield* inChunks(randomBytes(size));
      await server.client.getBlockBlobClient('site/data').upload('theirs', 6);
    };
    const putting = store().put('data', source(), { signal: never, ifAbsent: true });
    await expect(putting).rejects.toMatchObject({ code: 'ObjectExists' });
    expect((await stored())?.toString()).toBe('theirs');
  });
});

describe('a put whose requests go on failing', () => {
  it.each([
    ['blocks', blockRequest, 99],
    // No more often than it is tried: what discards the blocks is a commit, too.
    ['the commit', commitRequest, 4],
  ])('fails with the reason and leaves nothing: %s', async (_, kind, times) => {
    proxy.setRule(firstOf(kind, times, azureError(503, 'ServerBusy')));
    await expect(put(randomBytes(12 * MiB))).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('ServerBusy, HTTP 503'),
    });
    expect(await server.remains()).toEqual([]);
    expect(await stored()).toBeUndefined();
  });

  it('fails at once without a repeat, and stops reading its source', async () => {
    let sent = 0;
    proxy.setRule(({ method, url }) =>
      blockRequest.test(`${method} ${url}`) && sent++ === 1 ? azureError(503, 'ServerBusy') : undefined,
    );
    let read = 0;
    const source = generated(500 * MiB, (soFar) => {
      read = soFar;
    });
    await expect(store().put('data', source, { signal: never })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    expect(read).toBeLessThan(50 * MiB);
    expect(await server.remains()).toEqual([]);
  });

  it('removes an object that the server made shorter, and fails', async () => {
    const theirs = server.client.getBlockBlobClient('site/data');
    let shortened: Promise<unknown> | undefined;
    proxy.setRule(({ method }) => {
      if (method !== 'HEAD') return undefined;
      // With the metadata of the put, so that it looks like its own.
      shortened ??= theirs
        .getProperties()
        .then(({ metadata }) => theirs.upload('short', 5, { metadata: metadata ?? {} }));
      return { kind: 'wait', until: shortened };
    });
    await expect(put(randomBytes(6 * MiB), {})).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('made 5 bytes out of the 6291456'),
    });
    expect(await stored()).toBeUndefined();
  });

  it('ends soon when it is aborted while the server is silent', async () => {
    proxy.setRule(firstOf(blockRequest, 99, { kind: 'silence' }));
    const abort = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 100);
    const started = performance.now();
    const putting = store({ repeat, silenceMs: 60_000 }).put('data', generated(50 * MiB), {
      signal: abort.signal,
    });
    await expect(putting).rejects.toBe(reason);
    // What is under way is waited for, for five seconds.
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await server.remains()).toEqual([]);
  });

  it('that is aborted during its last request has happened wholly or not at all', async () => {
    proxy.setRule(firstOf(putRequest, 1, { kind: 'delay', ms: 300 }));
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('too late')), 100);
    const putting = store().put('data', inChunks(Buffer.from('bytes')), { signal: abort.signal });
    expect(await putting).toEqual({ size: 5 });
    expect((await stored())?.toString()).toBe('bytes');
  });
});

describe('a get', () => {
  const bytes = randomBytes(3 * MiB);
  const get = async (
    options: TestStoreOptions = { repeat, silenceMs: 500 },
    range?: { start: number; end: number },
  ) => bytesOf(await store(options).get('data', range ? { signal: never, range } : { signal: never }));
  beforeEach(() => store().put('data', inChunks(bytes), { signal: never }));

  it.each(['reset', 'silence'] as const)(
    'reads on after its answer was cut (%s), also in a range',
    async (ending) => {
      proxy.setRule(firstOf(/^GET /, 2, { kind: 'cut', bytes: MiB, ending }));
      expect((await get()).equals(bytes)).toBe(true);
      proxy.setRule(firstOf(/^GET /, 2, { kind: 'cut', bytes: MiB / 2, ending }));
      expect(
        (await get({ repeat, silenceMs: 500 }, { start: 1000, end: 2 * MiB })).equals(
          bytes.subarray(1000, 2 * MiB),
        ),
      ).toBe(true);
    },
  );

  it.each([
    ['reset', 'StoreUnavailable'],
    ['silence', 'StoreTimeout'],
    ['end', 'StoreUnavailable'],
  ] as const)(
    'without a repeat fails when its answer is cut (%s), never looks whole',
    async (ending, code) => {
      proxy.setRule(firstOf(/^GET /, 1, { kind: 'cut', bytes: MiB, ending }));
      await expect(get({ silenceMs: 500 })).rejects.toMatchObject({ code });
    },
  );

  it('never goes on with the bytes of another object', async () => {
    const other = server.client.getBlockBlobClient('site/data');
    let replaced: Promise<unknown> | undefined;
    proxy.setRule((request, seen) => {
      if (request.method !== 'GET') return undefined;
      if (seen === 0) return { kind: 'cut', bytes: MiB, ending: 'reset' };
      replaced ??= other.upload(randomBytes(3 * MiB), 3 * MiB);
      return { kind: 'wait', until: replaced };
    });
    await expect(get({ repeat, silenceMs: 5_000 })).rejects.toMatchObject({
      code: 'BackupDamaged',
      message: expect.stringContaining('replaced'),
    });
  });

  it('fails, and may be repeated, where something takes the length out of the answer', async () => {
    proxy.setRule(firstOf(/^GET /, 1, { kind: 'no-length' }));
    await expect(get({})).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect.poll(() => proxy.underWay()).toBe(0);
  });

  it('fails when the server answers with another range', async () => {
    const headers = { etag: '"e"', 'content-length': '2' };
    const answer = { kind: 'answer', headers, body: 'xx' } as const;
    const contentRange = { ...headers, 'content-range': 'bytes 0-1/9' };
    proxy.setRule(firstOf(/^GET /, 9, { ...answer, status: 206, headers: contentRange }));
    await expect(get({}, { start: 5, end: 7 })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    proxy.setRule(firstOf(/^GET /, 9, { ...answer, status: 200 }));
    await expect(get({}, { start: 5, end: 7 })).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it('is not ended by a slow reader', async () => {
    const stream = await store({ silenceMs: 200 }).get('data', { signal: never });
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (chunks.length < 2) await new Promise((resolve) => setTimeout(resolve, 400));
      chunks.push(chunk);
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });
});

describe('foreign errors', () => {
  it.each([
    ['AuthorizationFailure', azureError(403, 'AuthorizationFailure'), 'StoreDenied', /rights/],
    [
      'AuthorizationPermissionMismatch',
      azureError(403, 'AuthorizationPermissionMismatch'),
      'StoreDenied',
      /rights/,
    ],
    ['AuthenticationFailed', azureError(403, 'AuthenticationFailed'), 'StoreDenied', /AZURE_STORAGE_KEY/],
    [
      'KeyBasedAuthenticationNotPermitted',
      azureError(403, 'KeyBasedAuthenticationNotPermitted'),
      'StoreDenied',
      /allow them/,
    ],
    ['ContainerNotFound', azureError(404, 'ContainerNotFound'), 'StoreDenied', /Create the container/],
    ['BlobArchived', azureError(409, 'BlobArchived'), 'StoreDenied', /Rehydrate/],
    ['BlobImmutableDueToPolicy', azureError(409, 'BlobImmutableDueToPolicy'), 'StoreDenied', /exempt/],
    ['ServerBusy', azureError(503, 'ServerBusy'), 'StoreUnavailable', /again/],
    ['InternalError', azureError(500, 'InternalError'), 'StoreUnavailable', /again/],
    ['OperationTimedOut', azureError(500, 'OperationTimedOut'), 'StoreTimeout', /network/],
    ['RequestBodyTooLarge', azureError(413, 'RequestBodyTooLarge'), 'StoreFull', /block_size=/],
    ['InsufficientStorage', azureError(507, 'InsufficientStorage'), 'StoreFull', /free space/],
    [
      'a page of a gateway',
      { kind: 'answer', status: 502, body: '<html>Bad gateway</html>' },
      'StoreUnavailable',
      /again/,
    ],
    [
      'a page of a proxy',
      { kind: 'answer', status: 403, body: 'Forbidden by the proxy' },
      'StoreDenied',
      /rights/,
    ],
    ['a reset', { kind: 'reset', when: 'before' }, 'StoreUnavailable', /again/],
    ['silence', { kind: 'silence' }, 'StoreTimeout', /network/],
  ] as const)('%s', async (_, fault, code, hint) => {
    proxy.setRule(() => fault);
    const expected = { code, hint: expect.stringMatching(hint) };
    const quick = store({ silenceMs: fault.kind === 'silence' ? 200 : 5_000 });
    await expect(quick.get('data', { signal: never })).rejects.toMatchObject(expected);
    await expect(quick.put('data', inChunks(Buffer.from('x')), { signal: never })).rejects.toMatchObject({
      code,
    });
    await expect(keysOf(quick.list('', never))).rejects.toMatchObject({ code });
    await expect(quick.delete(['a', 'b'], never)).rejects.toMatchObject({ code });
    await expect(quick.head('data', never)).rejects.toMatchObject({ code });
  });

  it('hold neither key nor signature', async () => {
    const sas = { kind: 'sas', secret: 'sv=2024-11-04&sp=r&sig=geheim%3D', endpoint: undefined } as const;
    const quoting = 'The string to sign of sig=geheim%3D was other';
    proxy.setRule(() => ({
      kind: 'answer',
      status: 403,
      body: `<Error><Message>${quoting}</Message></Error>`,
    }));
    const error = await store({ access: sas })
      .head('data', never)
      .catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'StoreDenied' });
    const got = await store({ access: sas })
      .get('data', { signal: never })
      .catch((error: unknown) => error);
    for (const each of [error, got] as { stack: string; cause: { stack: string; message: string } }[]) {
      expect(`${each.stack} ${each.cause.stack} ${JSON.stringify(each)}`).not.toContain('geheim');
      expect(each.cause.message).toContain('RestError');
    }
  });

  it('say how long to wait, where the server does', async () => {
    proxy.setRule(() => azureError(503, 'ServerBusy', { 'retry-after': '7' }));
    await expect(store().head('data', never)).rejects.toMatchObject({ retryAfterMs: 7_000 });
  });

  it('of a store that cannot be reached say so', async () => {
    const nowhere = storeAt(server, 'http://127.0.0.1:1');
    await expect(nowhere.head('data', never)).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('cannot be reached'),
    });
  });
});

describe('a list', () => {
  beforeEach(async () => {
    for (let index = 0; index < 5; index++)
      await server.client.getBlockBlobClient(`site/object-${index}`).upload('x', 1);
  });

  it('is repeated page by page, and fails where a page goes on failing, never just ends', async () => {
    const list = /^GET \S+comp=list/;
    proxy.setRule((request, seen) =>
      list.test(`${request.method} ${request.url}`) && seen % 2 === 1
        ? azureError(503, 'ServerBusy')
        : undefined,
    );
    expect(await keysOf(store({ repeat, pageSize: 2 }).list('', never))).toHaveLength(5);
    proxy.setRule((_, seen) => (seen > 0 ? azureError(503, 'ServerBusy') : undefined));
    await expect(keysOf(store({ repeat, pageSize: 2 }).list('', never))).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
  });

  it('goes on after an empty page, and fails when it goes round in circles', async () => {
    const page = {
      kind: 'answer',
      status: 200,
      body: '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x/" ContainerName="c"><Blobs/><NextMarker>site/object-1</NextMarker></EnumerationResults>',
    } as const;
    proxy.setRule((_, seen) => (seen === 0 ? page : undefined));
    // What Azurite takes a marker for: the last name of the page before.
    const rest = ['object-2', 'object-3', 'object-4'];
    expect(await keysOf(store().list('', never))).toEqual(rest);
    proxy.setRule(() => page);
    await expect(keysOf(store().list('', never))).rejects.toMatchObject({
      message: expect.stringContaining('same page'),
    });
  });
});
