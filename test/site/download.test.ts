import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findServerBinaries } from '../support/postgres-server.ts';
import { cpuMs, openFiles } from '../support/processes.ts';
import { makeSampleDatabase } from '../support/sample-database.ts';
import { type SiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { until } from '../support/test-site.ts';
import { v1Client } from '../support/v1-client.ts';

const run = promisify(execFile);
const key = "a key of a user, with ' and $";
const stack = new AsyncDisposableStack();
let site: SiteProcess;
let folder: string;
let guid: string;
let backupId: number;
/** The stored object. */
let data: string;
let size: number;

const v1Url = () => `${site.url}/v1/instances/${guid}/backups/${backupId}/download`;
const v0Url = () => `${site.url}/service-instances/${guid}/backups/${backupId}/download`;
const out = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = stack.use(await temporaryFolder('download-')).path;
  const database = stack.use(await makeSampleDatabase(inject('postgresUrl'), { megabytes: 60 }));
  const { path: dataDir } = stack.use(await temporaryFolder('download-site-'));
  site = stack.use(await startSiteProcess({ dataDir }));
  const client = v1Client(site);
  guid = await client.register(database.connection);
  await client.call('PATCH', `${guid}/backup-config`, { encryption_key: key });
  backupId = await client.backUp(guid);
  const backup = await client.backupEnds(guid, backupId);
  expect(backup).toMatchObject({ status: 'done', downloadable: true });
  size = backup.size;
  data = path.join(dataDir, 'store', backup.backup_id.slice(0, 36), backup.backup_id, 'data');
  expect((await stat(data)).size).toBe(size);
  // More than two chunks, so that the last is read long after the first was sent.
  expect(size).toBeGreaterThan(2.5 * 8 * 1024 * 1024);
});
afterAll(() => stack.disposeAsync());

/** Runs curl as the guides do; resolves with its exit code and what it says of the answer. */
async function curl(...args: string[]): Promise<{ code: number; said: string }> {
  const all = ['-sS', '-H', `Authorization: bearer ${site.token}`, '-w', '%{http_code}', ...args];
  try {
    return { code: 0, said: (await run('curl', all)).stdout };
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string };
    return { code, said: stdout };
  }
}

/** Opens a file with a shell command that holds `KEY` in its place, and looks at what comes out with pg_restore. */
async function opens(file: string, command: string): Promise<string> {
  const quoted = key.replaceAll("'", String.raw`'\''`);
  const shell = `{ ${command.replace('KEY', () => quoted)}; } < "$1" > "$1.dump"`;
  await run('bash', ['-eo', 'pipefail', '-c', shell, 'sh', file]);
  const { stdout } = await run(path.join(findServerBinaries()!, 'pg_restore'), ['--list', `${file}.dump`]);
  return stdout;
}

describe('what a client gets opens without Forestay', () => {
  const upstream = "openssl enc -aes256 -md md5 -d -pass 'pass:KEY' | gunzip";
  test.each([
    { name: 'V1', args: () => [v1Url()] },
    { name: 'V0 with GET', args: () => [v0Url()] },
    { name: 'V0 with POST', args: () => ['-X', 'POST', v0Url()] },
  ])('promise 6: a $name download opens with the command of the guide', async ({ name, args }) => {
    const file = out(name.replaceAll(' ', '-'));
    expect(await curl(...args(), '-o', file)).toEqual({ code: 0, said: '200' });
    expect(await opens(file, upstream)).toContain('TABLE DATA public sample');
  });

  test('promise 6: a stored download has its length, can be resumed, and opens with the command in its header', async () => {
    const url = `${v1Url()}?format=stored`;
    const file = out('stored');
    const head = await fetch(url, { method: 'HEAD', headers: { authorization: `Bearer ${site.token}` } });
    expect(head.headers.get('content-length')).toBe(String(size));
    expect(head.headers.get('accept-ranges')).toBe('bytes');

    // A router cuts the first try; the second goes on where it ended.
    expect(await curl('-r', '0-9999999', url, '-o', file)).toEqual({ code: 0, said: '206' });
    expect((await stat(file)).size).toBe(10_000_000);
    expect(await curl('-C', '-', url, '-o', file)).toEqual({ code: 0, said: '206' });
    expect((await readFile(file)).equals(await readFile(data))).toBe(true);
    expect((await curl('-r', `${size}-`, url, '-o', out('beyond'))).said).toBe('416');
    expect(await opens(file, head.headers.get('x-forestay-open-with')!)).toContain(
      'TABLE DATA public sample',
    );
  });
});

/** Begins a download and takes only the first bytes of it. */
async function begin(url: string): Promise<IncomingMessage> {
  const request = get(url, { headers: { authorization: `Bearer ${site.token}` } });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  await once(response, 'readable');
  response.read(1);
  return response;
}

test.each(['a9s', 'stored'])(
  'when clients of %s downloads go away, the work behind them ends',
  async (format) => {
    const idle = await cpuIn(1000);
    const responses = await Promise.all(
      Array.from({ length: 4 }, () => begin(`${v1Url()}?format=${format}`)),
    );
    // They take nothing, so it waits with what it has read.
    await sleep(500);
    for (const response of responses) response.on('error', () => {}).destroy();
    await until(
      'the end of all reading',
      async () => (await openFiles(site.pid, path.dirname(data))).length === 0,
    );
    await sleep(300);
    expect(await openFiles(site.pid, path.dirname(data))).toEqual([]);
    // Four downloads that went on would compute for seconds.
    expect(await cpuIn(1000)).toBeLessThan(idle + 400);
  },
);

async function cpuIn(ms: number): Promise<number> {
  const before = await cpuMs(site.pid);
  await sleep(ms);
  return (await cpuMs(site.pid)) - before;
}

test('promise 2: a download that turns out to be damaged half-way breaks the connection, never ends cleanly', async () => {
  const handle = await open(data, 'r+');
  const byte = Buffer.alloc(1);
  try {
    await handle.read(byte, 0, 1, size - 1000);
    await handle.write(Buffer.of(byte[0]! ^ 1), 0, 1, size - 1000);
    for (const format of ['a9s', 'stored']) {
      const { code, said } = await curl(`${v1Url()}?format=${format}`, '-o', out(`damaged-${format}`));
      expect([18, 56], `exit code ${code} of curl`).toContain(code);
      expect(said).toBe('200');
      // It had begun at once, so a part had been sent.
      expect((await stat(out(`damaged-${format}`))).size).toBeGreaterThan(1_000_000);
    }
  } finally {
    await handle.write(byte, 0, 1, size - 1000);
    await handle.close();
  }
  expect(await openFiles(site.pid, path.dirname(data))).toEqual([]);
  expect((await curl(`${v1Url()}?format=stored`, '-o', out('whole'))).code).toBe(0);
  expect(await readdir(path.dirname(data))).toEqual(['data', 'manifest.json']);
});
