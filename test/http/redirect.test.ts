import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, test, vi } from 'vitest';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { startSwiftWithBucket, storeAt } from '../storage/s3/servers.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { swiftMissing } from '../support/swift-server.ts';
import { backupEnds } from '../support/test-site.ts';
import { adminToken, asAdmin, type HttpSite, makeHttpSite } from './site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

const run = promisify(execFile);
const missing = swiftMissing();
if (missing) it.skip(`redirects to OpenStack Swift cannot be tested here: ${missing}`);

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function makeBackup({ site }: HttpSite): Promise<{ guid: string; id: number }> {
  await site.startWorker();
  const { guid } = await site.addInstance(randomBytes(300_000));
  await setKey(site.context, guid, 'the key of redirects');
  const { id } = await requestBackup(site.context, guid);
  expect((await backupEnds(site.context, id)).task.status).toBe('done');
  return { guid, id };
}

describe.skipIf(missing)('from a store that gives out links (OpenStack Swift)', () => {
  const stack = new AsyncDisposableStack();
  let http: HttpSite;
  let url: string;
  let guid: string;
  /** Headers that arrived at the store, but for requests of the site. */
  let atStore: Record<string, unknown>[] = [];

  beforeAll(async () => {
    const server = await startSwiftWithBucket();
    stack.defer(() => server.close());
    const proxy = await startFaultProxy(server.endpoint);
    stack.defer(() => proxy.close());
    proxy.setRule(({ url, headers }) => {
      if (url?.includes('X-Amz-Signature')) atStore.push(headers);
      return undefined;
    });
    const { credentials } = server;
    http = stack.use(
      await makeHttpSite({ wrapStore: () => storeAt(proxy.url, { credentials, more: '&presign=true' }) }),
    );
    const backup = await makeBackup(http);
    guid = backup.guid;
    const base = await http.server.listen({ host: '127.0.0.1', port: 0 });
    url = `${base}/v1/instances/${guid}/backups/${backup.id}/download`;
  });
  afterAll(() => stack.disposeAsync());

  const ask = (query: string, init: RequestInit = {}) =>
    fetch(url + query, { headers: asAdmin, redirect: 'manual', ...init });

  test('a client that asks for it is sent to the store, with the digest that the bytes must have', async () => {
    const answer = await ask('?format=stored&redirect=true');
    expect(answer.status).toBe(307);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-forestay-open-with': expect.stringContaining('openssl enc -d'),
      'x-forestay-sha256': expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const location = answer.headers.get('location') ?? '';
    expect(new URL(location).searchParams.get('X-Amz-Expires')).toBe('900');
    const fetched = await fetch(location);
    expect(fetched.headers.get('content-disposition')).toMatch(
      /^attachment; filename="[A-Za-z0-9._-]+\.enc"$/,
    );
    const bytes = Buffer.from(await fetched.arrayBuffer());
    expect(sha256(bytes)).toBe(answer.headers.get('x-forestay-sha256'));
    const streamed = await ask('?format=stored');
    expect(streamed.headers.get('x-forestay-sha256')).toBe(sha256(bytes));
    expect(Buffer.from(await streamed.arrayBuffer()).equals(bytes)).toBe(true);
    const part = await fetch(location, { headers: { range: 'bytes=7-99' } });
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 93]);
  });

  test('promise 8: neither does curl -L show the token to the store, nor does the link get into a log', async () => {
    atStore = [];
    const file = path.join(http.site.folder, 'downloaded');
    const { stdout } = await run('curl', [
      ...[
        '-sSL',
        '-H',
        `Authorization: Bearer ${adminToken}`,
        '-o',
        file,
        '-w',
        '%{http_code} %{num_redirects}',
      ],
      `${url}?format=stored&redirect=true`,
    ]);
    expect(stdout).toBe('200 1');
    expect(sha256(await readFile(file))).toBe(
      (await ask('?format=stored', { method: 'HEAD' })).headers.get('x-forestay-sha256'),
    );
    expect(atStore).toHaveLength(1);
    expect(JSON.stringify(atStore)).not.toContain(adminToken);
    expect(http.requestLog.join('') + http.site.logLines.join('')).not.toMatch(/X-Amz-|Signature/);
  });

  test('nobody is redirected who did not ask for it, or has no right to the backup', async () => {
    for (const query of ['', '?format=stored', '?format=stored&redirect=false', '?format=a9s']) {
      const answer = await ask(query);
      expect([query, answer.status]).toEqual([query, 200]);
      await answer.body?.cancel();
    }
    for (const query of ['?redirect=true', '?format=a9s&redirect=true', '?format=stored&redirect=yes'])
      expect([query, (await ask(query)).status]).toEqual([query, 400]);
    const viewer = await ask('?format=stored&redirect=true', { headers: await http.tokenFor('view', guid) });
    expect(viewer.status).toBe(403);
    expect((await ask('?format=stored&redirect=true', { method: 'HEAD' })).status).toBe(200);
  });

  test('what cannot be downloaded is refused before anybody is sent anywhere', async () => {
    const fresh = await http.site.addInstance();
    const { id } = await requestBackup(http.site.context, fresh.guid);
    await backupEnds(http.site.context, id);
    const other = `${new URL(url).origin}/v1/instances/${fresh.guid}/backups`;
    const query = 'download?format=stored&redirect=true';
    expect((await fetch(`${other}/${id}/${query}`, { headers: asAdmin })).status).toBe(412);
    expect((await fetch(`${other}/4711/${query}`, { headers: asAdmin })).status).toBe(404);
  });
});

test('a client that asks for a redirect gets the bytes where the store gives out no links', async () => {
  await using http = await makeHttpSite();
  const { guid, id } = await makeBackup(http);
  const answer = await http.server.inject({
    url: `/v1/instances/${guid}/backups/${id}/download?format=stored&redirect=true`,
    headers: asAdmin,
  });
  expect(answer.statusCode).toBe(200);
  expect(sha256(answer.rawPayload)).toBe(answer.headers['x-forestay-sha256']);
});
