import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { repeatWith } from '../../../src/storage/retry.ts';
import { createS3Store } from '../../../src/storage/s3/store.ts';
import { bytesOf, generated, inChunks, keysOf, never } from '../../contract/store-data.ts';
import { type FakeS3, startFakeS3 } from '../../support/fake-s3.ts';
import { type FaultProxy, type Rule, s3Error, startFaultProxy } from '../../support/fault-proxy.ts';
import { storeAt, storeOptions, type TestStoreOptions } from './servers.ts';

const MiB = 1024 * 1024;
const repeat = repeatWith({ attempts: 4, firstDelayMs: 1, maxDelayMs: 50 });

let server: FakeS3;
let proxy: FaultProxy;
const partsSeen: number[] = [];

beforeAll(async () => {
  server = await startFakeS3({ onPart: (_, bytes) => partsSeen.push(bytes) });
  proxy = await startFaultProxy(server.endpoint);
});
afterAll(async () => {
  await proxy.close();
  await server.close();
});
beforeEach(() => {
  proxy.setRule(undefined);
  proxy.requests.length = 0;
  partsSeen.length = 0;
  server.objects.clear();
  server.uploads.clear();
});

const store = (options: TestStoreOptions = {}) => storeAt(proxy.url, { silenceMs: 5_000, ...options });
const put = (bytes: Uint8Array, options: TestStoreOptions = { repeat }, ifAbsent = false) =>
  store(options).put('data', inChunks(bytes), { signal: never, ifAbsent });

/** The first `times` requests of a kind. */
const firstOf = (kind: RegExp, times: number, fault: ReturnType<Rule>): Rule => {
  let count = 0;
  return ({ method, url }) => (kind.test(`${method} ${url}`) && count++ < times ? fault : undefined);
};
const partRequest = /^PUT .*partNumber=/;
const completion = /^POST .*uploadId=/;
const creation = /^POST .*uploads/;

describe('a put whose requests fail for a while', () => {
  const bytes = randomBytes(12 * MiB);

  it.each([
    ['parts are reset before they arrive', partRequest, { kind: 'reset', when: 'before' }],
    ['the answers to parts are lost', partRequest, { kind: 'reset', when: 'after' }],
    ['parts meet a slow server', partRequest, s3Error(503, 'SlowDown')],
    ['parts meet a server with a fault', partRequest, s3Error(500, 'InternalError')],
    ['parts arrive damaged', partRequest, s3Error(400, 'BadDigest')],
    ['parts are answered by silence', partRequest, { kind: 'silence' }],
    [
      'parts are answered by a page',
      partRequest,
      { kind: 'answer', status: 200, body: '<html>log in</html>' },
    ],
    ['the start meets a slow server', creation, s3Error(503, 'SlowDown')],
    ['the completion is reset before it arrives', completion, { kind: 'reset', when: 'before' }],
    ['the answer to the completion is lost', completion, { kind: 'reset', when: 'after' }],
    // A 200 that turns out to be none: servers begin to answer before they know.
    ['the completion fails after its 200', completion, { ...s3Error(200, 'InternalError') }],
    ['the completion is answered by silence', completion, { kind: 'silence' }],
    ['the size cannot be read back at first', /^HEAD /, s3Error(503, 'SlowDown')],
  ] as const)('is whole although %s', async (_, kind, fault) => {
    proxy.setRule(firstOf(kind, 2, fault));
    const silenceMs = 'kind' in fault && fault.kind === 'silence' ? 1_000 : 5_000;
    expect(await put(bytes, { repeat, silenceMs, completeMs: 1_000 })).toEqual({ size: bytes.length });
    expect(server.objects.get('site/data')?.bytes.equals(bytes)).toBe(true);
    expect(server.uploads.size).toBe(0);
    // Equal parts but for the last: some servers take no others.
    expect([...new Set(partsSeen)].sort((a, b) => b - a)).toEqual([5 * MiB, 2 * MiB]);
  });

  it.each([
    ['never', { kind: 'reset', when: 'after' }],
    ['not', { kind: 'reset', when: 'before' }],
  ] as const)('of one request is done when its answer %s comes', async (_, fault) => {
    proxy.setRule(firstOf(/^PUT /, 2, fault));
    expect(await put(Buffer.from('small'))).toEqual({ size: 5 });
    expect(server.objects.get('site/data')?.bytes.toString()).toBe('small');
  });

  it.each([5, 6 * MiB])(
    'with ifAbsent (%i bytes) is not taken for somebody else’s when its answer is lost',
    async (size) => {
      const some = randomBytes(size);
      const quiet = store({ repeat });
      await quiet.put('first', inChunks(Buffer.from('x')), { signal: never, ifAbsent: true });
      proxy.setRule(
        firstOf(size > 5 * MiB ? completion : /^PUT \S+\/data/, 1, { kind: 'reset', when: 'after' }),
      );
      expect(await quiet.put('data', inChunks(some), { signal: never, ifAbsent: true })).toEqual({ size });
      expect(server.objects.get('site/data')?.bytes.equals(some)).toBe(true);
      await expect(
        quiet.put('data', inChunks(some), { signal: never, ifAbsent: true }),
      ).rejects.toMatchObject({
        code: 'ObjectExists',
      });
    },
  );
});

describe('a put whose requests go on failing', () => {
  it.each([
    ['parts', partRequest],
    ['the completion', completion],
    ['the start', creation],
  ])('fails with the reason and leaves nothing: %s', async (_, kind) => {
    proxy.setRule(firstOf(kind, 99, s3Error(503, 'SlowDown')));
    await expect(put(randomBytes(12 * MiB))).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('SlowDown, HTTP 503'),
    });
    expect(server.uploads.size).toBe(0);
    expect(server.objects.size).toBe(0);
  });

  it('fails at once without a repeat, and stops reading its source', async () => {
    proxy.setRule(firstOf(partRequest, 1, s3Error(503, 'SlowDown')));
    let read = 0;
    const source = generated(500 * MiB, (soFar) => {
      read = soFar;
    });
    await expect(store().put('data', source, { signal: never })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    });
    expect(read).toBeLessThan(50 * MiB);
    expect(server.uploads.size).toBe(0);
  });

  it('fails when the server says that it received other bytes', async () => {
    proxy.setRule(
      firstOf(/^PUT /, 9, { kind: 'answer', status: 200, headers: { etag: `"${'0'.repeat(32)}"` } }),
    );
    await expect(put(Buffer.from('bytes'))).rejects.toMatchObject({
      code: 'StoreUnavailable',
      hint: expect.stringContaining('etag=opaque'),
    });
    const opaque = await put(Buffer.from('bytes'), { repeat, more: '&etag=opaque' });
    expect(opaque).toEqual({ size: 5 });
  });

  it('removes an object that the server made shorter, and fails', async () => {
    const stored = () => server.objects.get('site/data');
    proxy.setRule((request) => {
      const whole = stored();
      if (request.method === 'HEAD' && whole)
        server.objects.set('site/data', { ...whole, bytes: whole.bytes.subarray(1) });
      return undefined;
    });
    await expect(put(randomBytes(6 * MiB), {})).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('made 6291455 bytes out of the 6291456'),
    });
    expect(stored()).toBeUndefined();
  });

  it('ends soon when it is aborted while the server is silent', async () => {
    proxy.setRule(firstOf(partRequest, 99, { kind: 'silence' }));
    const abort = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 100);
    const started = performance.now();
    const putting = store({ repeat, silenceMs: 60_000 }).put('data', generated(50 * MiB), {
      signal: abort.signal,
    });
    await expect(putting).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(server.uploads.size).toBe(0);
  });

  it('that is aborted during its last request has happened wholly or not at all', async () => {
    proxy.setRule(firstOf(/^PUT /, 1, { kind: 'delay', ms: 300 }));
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('too late')), 100);
    const putting = store().put('data', inChunks(Buffer.from('bytes')), { signal: abort.signal });
    expect(await putting).toEqual({ size: 5 });
    expect(server.objects.has('site/data')).toBe(true);
  });
});

describe('a get', () => {
  const bytes = randomBytes(3 * MiB);
  const get = async (
    options: TestStoreOptions = { repeat, silenceMs: 500 },
    range?: { start: number; end: number },
  ) => bytesOf(await store(options).get('data', range ? { signal: never, range } : { signal: never }));
  beforeEach(() => store().put('data', inChunks(bytes), { signal: never }));

  it.each(['reset', 'silence', 'end'] as const)(
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
    proxy.setRule((request, seen) => {
      if (request.method !== 'GET') return undefined;
      if (seen === 0) return { kind: 'cut', bytes: MiB, ending: 'reset' };
      server.objects.set('site/data', {
        ...server.objects.get('site/data')!,
        bytes: randomBytes(3 * MiB),
        etag: 'other',
      });
      return undefined;
    });
    await expect(get()).rejects.toMatchObject({
      code: 'BackupDamaged',
      message: expect.stringContaining('replaced'),
    });
  });

  it('gets everything where the length is missing in the answer', async () => {
    proxy.setRule(firstOf(/^GET /, 1, { kind: 'no-length' }));
    expect((await get()).equals(bytes)).toBe(true);
  });

  it('fails when the server answers with another range', async () => {
    proxy.setRule(
      firstOf(/^GET /, 9, {
        kind: 'answer',
        status: 206,
        headers: { 'content-range': 'bytes 0-1/9' },
        body: 'xx',
      }),
    );
    await expect(get({}, { start: 5, end: 7 })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    proxy.setRule(firstOf(/^GET /, 9, { kind: 'answer', status: 200, body: 'the whole object' }));
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

describe('a gateway that says yes to everything and does nothing', () => {
  const yes = { kind: 'answer', status: 200, body: '' } as const;

  it.each([
    ['a put', /^PUT /, 5],
    ['a part', partRequest, 6 * MiB],
    ['a completion', completion, 6 * MiB],
  ])('is not believed about %s', async (_, kind, size) => {
    proxy.setRule(firstOf(kind, 99, yes));
    await expect(put(randomBytes(size))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    expect(server.objects.size).toBe(0);
    proxy.setRule(firstOf(kind, 1, yes));
    expect(await put(randomBytes(size))).toEqual({ size });
    expect(server.objects.get('site/data')?.bytes).toHaveLength(size);
  });

  it('is not believed about what there is: neither an empty object nor an empty list', async () => {
    await put(randomBytes(9));
    proxy.setRule(() => yes);
    await expect(keysOf(store().list('', never))).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(store().get('data', { signal: never })).rejects.toMatchObject({ code: 'StoreUnavailable' });
    await expect(store().head('data', never)).rejects.toMatchObject({ code: 'StoreUnavailable' });
  });

  it.each([-3, 3])('nor is one that is %i bytes off about the length of an object', async (by) => {
    await put(randomBytes(1_000));
    proxy.setRule(firstOf(/^GET /, 9, { kind: 'wrong-length', by }));
    await expect(store().get('data', { signal: never })).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: expect.stringContaining('two lengths'),
    });
  });
});

describe('foreign errors', () => {
  it.each([
    ['AccessDenied', s3Error(403, 'AccessDenied'), 'StoreDenied', /rights/],
    ['InvalidAccessKeyId', s3Error(403, 'InvalidAccessKeyId'), 'StoreDenied', /AWS_ACCESS_KEY_ID/],
    ['SignatureDoesNotMatch', s3Error(403, 'SignatureDoesNotMatch'), 'StoreDenied', /AWS_SECRET_ACCESS_KEY/],
    ['ExpiredToken', s3Error(400, 'ExpiredToken'), 'StoreDenied', /expired/],
    ['RequestTimeTooSkewed', s3Error(403, 'RequestTimeTooSkewed'), 'StoreUnavailable', /clock/],
    ['PermanentRedirect', s3Error(301, 'PermanentRedirect'), 'StoreDenied', /region=/],
    ['AuthorizationHeaderMalformed', s3Error(400, 'AuthorizationHeaderMalformed'), 'StoreDenied', /region=/],
    ['NoSuchBucket', s3Error(404, 'NoSuchBucket'), 'StoreDenied', /Create the bucket/],
    ['InvalidObjectState', s3Error(403, 'InvalidObjectState'), 'StoreDenied', /archive/],
    ['SlowDown', s3Error(503, 'SlowDown'), 'StoreUnavailable', /again/],
    ['InternalError', s3Error(500, 'InternalError'), 'StoreUnavailable', /again/],
    ['OperationAborted', s3Error(409, 'OperationAborted'), 'StoreUnavailable', /again/],
    ['RequestTimeout', s3Error(400, 'RequestTimeout'), 'StoreTimeout', /network/],
    ['QuotaExceeded', s3Error(403, 'QuotaExceeded'), 'StoreFull', /quota/],
    ['XMinioStorageFull', s3Error(507, 'XMinioStorageFull'), 'StoreFull', /quota/],
    ['NotImplemented', s3Error(501, 'NotImplemented'), 'StoreDenied', /lacks/],
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
  });

  it('tell how long to wait, where the store says so', async () => {
    proxy.setRule(() => s3Error(503, 'SlowDown', { 'retry-after': '7' }));
    await expect(store().get('data', { signal: never })).rejects.toMatchObject({ retryAfterMs: 7_000 });
  });

  it('hold no signature and no key', async () => {
    proxy.setRule(() => s3Error(403, 'SignatureDoesNotMatch'));
    const error: unknown = await store()
      .get('data', { signal: never })
      .catch((thrown: unknown) => thrown);
    const everything =
      JSON.stringify(error, Object.getOwnPropertyNames(error)) + JSON.stringify((error as Error).cause);
    expect(everything).not.toMatch(/Signature=|secret|AWS4-HMAC/);
    expect(Object.keys((error as Error).cause as object)).toEqual([]);
  });

  it.each([
    ['a server that is not there', 'http://127.0.0.1:1', 'StoreUnavailable', /endpoint/],
    ['a name that does not exist', 'http://nowhere.invalid', 'StoreUnavailable', /DNS/],
  ])('of %s say so', async (_, endpoint, code, hint) => {
    const getting = storeAt(endpoint).get('data', { signal: never });
    await expect(getting).rejects.toMatchObject({ code, hint: expect.stringMatching(hint) });
  });

  it('of https for a server that speaks http say so', async () => {
    const getting = storeAt(server.endpoint.replace('http:', 'https:')).get('data', { signal: never });
    await expect(getting).rejects.toMatchObject({
      hint: expect.stringMatching(/http and https are mixed up/),
    });
  });

  it('of credentials that are nowhere say so', async () => {
    const { location } = storeOptions(proxy.url);
    const names = ['AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'HOME', 'AWS_EC2_METADATA_DISABLED'] as const;
    const before = names.map((name) => process.env[name]);
    delete process.env.AWS_ACCESS_KEY_ID;
    delete process.env.AWS_PROFILE;
    process.env.HOME = '/nonexistent';
    process.env.AWS_EC2_METADATA_DISABLED = 'true';
    try {
      await expect(createS3Store({ location }).get('data', { signal: never })).rejects.toMatchObject({
        code: 'StoreDenied',
        message: expect.stringContaining('needs credentials'),
      });
    } finally {
      for (const [index, name] of names.entries()) {
        if (before[index] === undefined) delete process.env[name];
        else process.env[name] = before[index];
      }
    }
  });
});
