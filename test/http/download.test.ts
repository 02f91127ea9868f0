import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { maxDownloads } from '../../src/http/download-limit.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { setKey } from '../../src/operations/set-key.ts';
import type { GetOptions, ObjectStore } from '../../src/storage/object-store.ts';
import { backupEnds, until } from '../support/test-site.ts';
import { adminToken, asAdmin, type HttpSite, makeHttpSite } from './site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

/** Downloads over real sockets, in 48 MB that do not compress: more than any buffer on the way holds. */

const key = 'the key of downloads';
const data = randomBytes(48 * 1024 * 1024);
let site: HttpSite;
let base: string;
let guid: string;
let id: number;
let url: string;
/** Does something to what the store delivers, while set. */
let onGet: ((stream: Readable, options: GetOptions) => Readable) | undefined;
let openStreams = 0;

function watched(store: ObjectStore): ObjectStore {
  return {
    ...store,
    name: store.name,
    put: (...args) => store.put(...args),
    head: (...args) => store.head(...args),
    list: (...args) => store.list(...args),
    delete: (...args) => store.delete(...args),
    async get(objectKey, options) {
      const stream = await store.get(objectKey, options);
      if (objectKey.endsWith('manifest.json')) return stream;
      openStreams++;
      stream.once('close', () => openStreams--);
      return onGet ? onGet(stream, options) : stream;
    },
  };
}

beforeAll(async () => {
  site = await makeHttpSite({ wrapStore: watched });
  await site.site.startWorker();
  base = await site.server.listen({ host: '127.0.0.1', port: 0 });
  ({ guid } = await site.site.addInstance(data));
  await setKey(site.site.context, guid, key);
  ({ id } = await requestBackup(site.site.context, guid));
  expect((await backupEnds(site.site.context, id)).task.status).toBe('done');
  url = `${base}/v1/instances/${guid}/backups/${id}/download`;
});
afterAll(() => site[Symbol.asyncDispose]());
beforeEach(() => {
  onGet = undefined;
});

const get = (query = '', headers: Record<string, string> = {}) =>
  fetch(url + query, { headers: { ...asAdmin, ...headers } });
const stored = (headers: Record<string, string> = {}) => get('?format=stored', headers);
const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer());
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function openWith(answer: Response): Promise<Buffer> {
  const file = path.join(site.site.folder, 'downloaded');
  await writeFile(file, await bytesOf(answer));
  const command = answer.headers.get('x-forestay-open-with')!.replace('pass:KEY', `pass:${key}`);
  return execFileSync('bash', ['-c', `cat ${file} | ${command}`], {
    maxBuffer: 2 * data.length,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

test('either form opens with the command in its header', async () => {
  const plain = await get();
  expect(plain.headers.get('accept-ranges')).toBe('none');
  expect((await openWith(plain)).equals(data)).toBe(true);
  expect((await openWith(await stored())).equals(data)).toBe(true);
});

test('the stored form tells size and digest, which the list has too', async () => {
  const answer = await stored();
  const bytes = await bytesOf(answer);
  const listed = await (
    await fetch(`${base}/v1/instances/${guid}/backups/${id}`, { headers: asAdmin })
  ).json();
  expect(listed).toMatchObject({ size: bytes.length, sha256: sha256(bytes), downloadable: true });
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-length': String(bytes.length),
    etag: `"${sha256(bytes)}"`,
    'accept-ranges': 'bytes',
    'cache-control': 'no-store, no-transform',
    'content-type': 'application/octet-stream',
  });
});

test('a download that broke off is resumed with ranges', async () => {
  const whole = await bytesOf(await stored());
  const etag = `"${sha256(whole)}"`;
  const cases: [string, number, number][] = [
    ['bytes=0-0', 0, 1],
    ['bytes=100-', 100, whole.length],
    ['bytes=-7', whole.length - 7, whole.length],
    [`bytes=8388600-8388700`, 8388600, 8388701],
    [`bytes=5-${whole.length + 100}`, 5, whole.length],
  ];
  for (const [range, start, end] of cases) {
    const answer = await stored({ range, 'if-range': etag });
    expect([range, answer.status]).toEqual([range, 206]);
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${whole.length}`);
    expect(answer.headers.get('content-length')).toBe(String(end - start));
    expect((await bytesOf(answer)).equals(whole.subarray(start, end))).toBe(true);
  }
  const outside = await stored({ range: `bytes=${whole.length}-` });
  expect([outside.status, outside.headers.get('content-range')]).toEqual([416, `bytes */${whole.length}`]);
  expect(await outside.json()).toMatchObject({ error: 'RangeNotSatisfiable' });
  for (const headers of [
    { range: 'bytes=5-', 'if-range': '"another"' },
    { range: 'bytes=1-2,5-6' },
    { range: 'lines=1-2' },
    { range: 'bytes=9-5' },
  ] as Record<string, string>[]) {
    const answer = await stored(headers);
    expect([headers, answer.status]).toEqual([headers, 200]);
    await answer.body?.cancel();
  }
  const ignored = await get('', { range: 'bytes=5-9' });
  expect(ignored.status).toBe(200);
  await ignored.body?.cancel();
});

test('HEAD answers the headers and reads no data', async () => {
  let reads = 0;
  onGet = (stream) => {
    reads++;
    return stream;
  };
  const answer = await fetch(`${url}?format=stored`, { method: 'HEAD', headers: asAdmin });
  expect(answer.status).toBe(200);
  expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(data.length);
  const v0 = await fetch(`${base}/service-instances/${guid}/backups/${id}/download`, {
    method: 'HEAD',
    headers: asAdmin,
  });
  expect([v0.status, v0.headers.get('content-type')]).toEqual([200, 'application/octet-stream']);
  await until('the streams to close', () => openStreams === 0);
  expect(reads).toBe(0);
});

/** A whole exchange on a kept-alive connection; rejects when the answer is cut. */
function exchange(agent: http.Agent, target: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const request = http.get(
      target,
      { agent, headers: { authorization: `Bearer ${adminToken}` } },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('end', () => resolve(Buffer.concat(parts)));
        answer.on('error', reject);
      },
    );
    request.on('error', reject);
  });
}

test.each(['', '?format=stored'])(
  'trap 3: a download that fails half-way breaks the connection (%s)',
  async (query) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    try {
      let given = 0;
      onGet = (stream) =>
        Readable.from(
          (async function* () {
            for await (const chunk of stream as AsyncIterable<Buffer>) {
              given += chunk.length;
              if (given > 20_000_000) throw new Error('the store broke off');
              yield chunk;
            }
          })(),
          { objectMode: false },
        );
      await expect(exchange(agent, url + query)).rejects.toMatchObject({ code: 'ECONNRESET' });
      // Bytes that are not what the manifest says are a failure, too.
      onGet = (stream) => Readable.from(flipped(stream), { objectMode: false });
      await expect(exchange(agent, url + query)).rejects.toMatchObject({ code: 'ECONNRESET' });
      // And an end that comes too early.
      onGet = (stream) => Readable.from(cut(stream, 18_000_000), { objectMode: false });
      await expect(exchange(agent, url + query)).rejects.toMatchObject({ code: 'ECONNRESET' });
    } finally {
      agent.destroy();
    }
    await until('the streams to close', () => openStreams === 0);
  },
);

async function* flipped(stream: AsyncIterable<Buffer>) {
  let at = 0;
  for await (const chunk of stream) {
    at += chunk.length;
    if (at > 18_000_000) chunk[0]! ^= 1;
    yield chunk;
  }
}
async function* cut(stream: AsyncIterable<Buffer>, after: number) {
  let given = 0;
  for await (const chunk of stream) {
    given += chunk.length;
    if (given > after) return;
    yield chunk;
  }
}

test('what fails before the first byte is answered as an error, without the headers of a download', async () => {
  onGet = (stream) => {
    stream.destroy();
    return Readable.from(
      // biome-ignore lint/correctness/useYield: it fails before it gives anything
      (async function* (): AsyncGenerator<Buffer> {
        throw new Error('secret inner words');
      })(),
      { objectMode: false },
    );
  };
  const answer = await stored();
  expect(answer.status).toBe(500);
  expect(await answer.json()).toMatchObject({ error: 'Internal' });
  for (const name of ['content-disposition', 'etag', 'accept-ranges', 'x-forestay-open-with']) {
    expect(answer.headers.get(name)).toBeNull();
  }
});

test.each(['', '?format=stored'])('when the client goes away, the work behind ends (%s)', async (query) => {
  const stop = new AbortController();
  const answer = await fetch(url + query, { headers: asAdmin, signal: stop.signal });
  const reader = answer.body!.getReader();
  await reader.read();
  expect(openStreams).toBe(1);
  stop.abort();
  await until('the streams to close', () => openStreams === 0);
  await until('a line in the log', () => site.requestLog.some((line) => line.includes('"aborted":true')));
});

test('a client that does not read holds the store back', async () => {
  let given = 0;
  onGet = (stream) =>
    Readable.from(
      (async function* () {
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          given += chunk.length;
          yield chunk;
        }
      })(),
      { objectMode: false },
    );
  const answer = await stored();
  const reader = answer.body!.getReader();
  await reader.read();
  let last = -1;
  await until('the flow to stand still', async () => {
    const still = given === last;
    last = given;
    await new Promise((resolve) => setTimeout(resolve, 300));
    return still;
  });
  expect(given).toBeLessThan(data.length);
  await reader.cancel();
  await until('the streams to close', () => openStreams === 0);
});

test('no more downloads than the process has room for are under way, and places are free again when clients leave', async () => {
  const leave = new AbortController();
  const open = await Promise.all(
    Array.from({ length: maxDownloads }, () =>
      fetch(`${url}?format=stored`, { headers: asAdmin, signal: leave.signal }),
    ),
  );
  expect(new Set(open.map((answer) => answer.status))).toEqual(new Set([200]));
  const refused = await stored();
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toBe('10');
  expect(await refused.json()).toMatchObject({ error: 'TooManyRequests' });
  leave.abort();
  const answer = await until('a free place', async () => {
    const again = await stored();
    return again.status === 200 && again;
  });
  expect(await bytesOf(answer)).toHaveLength(Number(answer.headers.get('content-length')));
});

test('a backup that cannot be downloaded says why', async () => {
  const fresh = await site.site.addInstance();
  const backup = await requestBackup(site.site.context, fresh.guid);
  await backupEnds(site.site.context, backup.id);
  const of = (version: string, form = '') =>
    fetch(`${base}${version}/${fresh.guid}/backups/${backup.id}/download${form}`, { headers: asAdmin });
  for (const form of ['', '?format=stored']) {
    const answer = await of('/v1/instances', form);
    expect(answer.status).toBe(412);
    expect(await answer.json()).toMatchObject({
      error: 'BackupNotDownloadable',
      description: expect.stringContaining('system'),
    });
  }
  const v0 = await of('/service-instances');
  expect([v0.status, await v0.json()]).toEqual([412, { msg: expect.stringContaining('system') }]);
});

test('trap 1: after a change of key the older backup is delivered as it is stored, and not in the default form', async () => {
  await setKey(site.site.context, guid, 'another key of the user');
  const plain = await get();
  expect(plain.status).toBe(412);
  expect(((await plain.json()) as { description: string }).description).toContain('format=stored');
  expect((await openWith(await stored())).equals(data)).toBe(true);
  expect((await get('?format=tar')).status).toBe(400);
});

test('closing the server breaks off downloads and idle connections at once', async () => {
  await using other = await makeHttpSite();
  await other.site.startWorker();
  const instance = await other.site.addInstance(data);
  await setKey(other.site.context, instance.guid, key);
  const backup = await requestBackup(other.site.context, instance.guid);
  await backupEnds(other.site.context, backup.id);
  const address = await other.server.listen({ host: '127.0.0.1', port: 0 });
  const agent = new http.Agent({ keepAlive: true });
  await exchange(agent, `${address}/v1/instances`);
  const answer = await fetch(
    `${address}/v1/instances/${instance.guid}/backups/${backup.id}/download?format=stored`,
    {
      headers: asAdmin,
    },
  );
  const reader = answer.body!.getReader();
  await reader.read();
  const started = Date.now();
  await other.server.close();
  expect(Date.now() - started).toBeLessThan(5000);
  const drain = async () => {
    while (!(await reader.read()).done);
  };
  await expect(drain()).rejects.toThrow();
  agent.destroy();
});
