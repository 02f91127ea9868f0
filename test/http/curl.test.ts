import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { backupEnds, restoreEnds } from '../support/test-site.ts';
import { adminToken, type HttpSite, makeHttpSite } from './site.ts';
import { readSpec } from './spec-tables.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

/** The curl lines of the two documents, as they are written there, run by a shell against a listening server. */

const run = promisify(execFile);
const key = 'the key for curl';
let http: HttpSite;
let folder: string;
let base: string;
let guid: string;

beforeAll(async () => {
  http = await makeHttpSite();
  await http.site.startWorker();
  folder = await mkdtemp(path.join(tmpdir(), 'curl-'));
  base = await http.server.listen({ host: '127.0.0.1', port: 0 });
  ({ guid } = await http.site.addInstance('the data that curl fetches'));
});
afterAll(async () => {
  await http[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Every command of a document, continued lines joined, with its placeholders filled in. */
function curlLines(text: string, fill: Record<string, string> = {}): string[] {
  const joined = text.replaceAll(/\\\n/g, ' ').split('\n');
  return joined
    .filter((line) => line.startsWith('curl '))
    .map((line) => line.replaceAll(/<(\w+)>/g, (whole, name: string) => fill[name] ?? whole));
}

async function shell(command: string, url: string): Promise<string> {
  // In V0 the token is a variable, in V1 the output of a command; `cf oauth-token` prints the scheme in lower case.
  const script = `bearer_token() { echo "bearer ${adminToken}"; }\nbearer_token="bearer ${adminToken}"\n${command}`;
  const { stdout } = await run('bash', ['-c', script], { cwd: folder, env: { ...process.env, url } });
  return stdout;
}

describe('the curl lines of V0', () => {
  test('list, back up, restore and download, after the dashboard gave a cookie', async () => {
    const url = `${base}/service-instances/${guid}`;
    await shell(
      `curl --cookie session.cookie --cookie-jar session.cookie --location --insecure \
      --header "Authorization: \${bearer_token}" "\${url}"`,
      url,
    );
    expect(await readFile(path.join(folder, 'session.cookie'), 'utf8')).toContain('forestay_session');

    const [list = '', create = ''] = curlLines(readSpec('public-api-v0.txt'));
    expect(JSON.parse(await shell(list, url))).toMatchObject({
      instance_id: guid,
      backups: [],
      restores: [],
    });
    const prepare = `curl -s -X PATCH -H "Authorization: \${bearer_token}" -H 'Content-Type: application/json' \
      --data '{"encryption_key":"${key}"}' "\${url}"`;
    await shell(prepare, `${base}/v1/instances/${guid}/backup-config`);
    const created = JSON.parse(await shell(create, url));
    expect(created).toEqual({ id: expect.any(Number), message: expect.any(String) });
    await backupEnds(http.site.context, created.id);

    const { id } = JSON.parse(await shell(list, url));
    const fill = { backup_id: String(created.id), instance_id: String(id), backup_file_name: 'fetched' };
    const [, , restore = '', download = ''] = curlLines(readSpec('public-api-v0.txt'), fill);
    const { restore_id } = JSON.parse(await shell(restore, url));
    expect((await restoreEnds(http.site.context, restore_id)).task.status).toBe('done');

    await shell(download, url);
    // And the guide's way to open it.
    const opened = await shell(
      `openssl enc -aes256 -md md5 -d -in fetched.tgz -pass 'pass:${key}' 2>/dev/null | gunzip`,
      '',
    );
    expect(opened).toBe('the data that curl fetches');
  });

  test('the cookie works alone, for V0 and for V1', async () => {
    const alone = `curl -s --cookie session.cookie "\${url}"`;
    expect(JSON.parse(await shell(alone, `${base}/service-instances/${guid}/backups`)).instance_id).toBe(
      guid,
    );
    expect(JSON.parse(await shell(alone, `${base}/v1/instances/${guid}`)).instance_id).toBe(guid);
    const post = `curl -s -X POST --cookie session.cookie "\${url}"`;
    expect(JSON.parse(await shell(post, `${base}/v1/instances/${guid}/backups`)).id).toBeGreaterThan(0);
  });

  test.each([
    '',
    '-H "Content-Type: application/json"',
    '--data ""',
    '-H "Transfer-Encoding: chunked" --data ""',
  ])('a POST without a body works with: %s', async (how) => {
    for (const address of [`service-instances/${guid}`, `v1/instances/${guid}`]) {
      const line = `curl -s -X POST ${how} -H "Authorization: \${bearer_token}" "\${url}/backups"`;
      expect(JSON.parse(await shell(line, `${base}/${address}`))).toEqual({
        id: expect.any(Number),
        message: expect.any(String),
      });
    }
  });
});

test('the curl lines of V1 prepare a recovery and perform it in another instance', async () => {
  const text = readSpec('public-api-v1-disaster-recovery.txt');
  const [prepare = ''] = curlLines(text, { encryption_key: key });
  const { backup_guid } = JSON.parse(await shell(prepare, `${base}/v1/instances/${guid}`));
  const { id } = await requestBackup(http.site.context, guid);
  await backupEnds(http.site.context, id);

  const destination = await http.site.addInstance('empty');
  const [, perform = ''] = curlLines(text, { encryption_key: key, backup_guid });
  const { restore_id } = JSON.parse(await shell(perform, `${base}/v1/instances/${destination.guid}`));
  expect((await restoreEnds(http.site.context, restore_id)).task.status).toBe('done');
  expect(await readFile(destination.file, 'utf8')).toBe('the data that curl fetches');
});
