import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findServerBinaries } from '../support/postgres-server.ts';
import { makeSampleDatabase, type SampleDatabase } from '../support/sample-database.ts';
import { type SiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';

const run = promisify(execFile);
const script = path.resolve(import.meta.dirname, '../../docs/restore-without-forestay.sh');

interface Taken {
  readonly id: number;
  readonly digest: string;
  /** Undefined: that of the system. */
  readonly key: string | undefined;
}

const stack = new AsyncDisposableStack();
const taken: Taken[] = [];
let site: SiteProcess;
let client: V1Client;
let database: SampleDatabase;
let guid: string;
let folder: string;

/** One backup under the key of the system, then one under each of two that a user sets, of other data each time. */
beforeAll(async () => {
  folder = stack.use(await temporaryFolder('keys-')).path;
  const { path: dataDir } = stack.use(await temporaryFolder('keys-site-'));
  database = stack.use(await makeSampleDatabase(inject('postgresUrl')));
  site = stack.use(await startSiteProcess({ dataDir }));
  client = v1Client(site);
  guid = await client.register(database.connection);
  for (const key of [undefined, 'the first key of a user', 'the second key of a user']) {
    if (key) {
      await client.call('PATCH', `${guid}/backup-config`, { encryption_key: key });
      await database.change();
    }
    const id = await client.backUp(guid);
    expect((await client.backupEnds(guid, id)).status).toBe('done');
    taken.push({ id, digest: await database.digest(), key });
  }
});
afterAll(() => stack.disposeAsync());

async function download(
  id: number,
  query: string,
): Promise<{ status: number; file: string; opensWith: string | null }> {
  const response = await fetch(`${site.url}/v1/instances/${guid}/backups/${id}/download${query}`, {
    headers: { authorization: `bearer ${site.token}` },
  });
  const file = path.join(folder, `download-${id}`);
  await writeFile(file, Buffer.from(await response.arrayBuffer()));
  return { status: response.status, file, opensWith: response.headers.get('x-forestay-open-with') };
}

describe('promise 5: a new key never makes an old backup unreadable', () => {
  test('backups made under three keys all restore in place, without asking for one', async () => {
    expect(new Set(taken.map(({ digest }) => digest)).size).toBe(3);
    for (const { id, digest } of taken) {
      const restored = await client.restoreEnds(guid, await client.restore(guid, id));
      expect(restored).toMatchObject({ status: 'done', backup_id: id });
      expect(await database.digest()).toBe(digest);
      await database.write();
    }
  });

  test('only the newest is downloadable, and the others say why they are not', async () => {
    const backups = await client.backups(guid);
    expect(backups.map(({ id, downloadable, key_version }) => ({ id, downloadable, key_version }))).toEqual([
      { id: taken[2]!.id, downloadable: true, key_version: 3 },
      { id: taken[1]!.id, downloadable: false, key_version: 2 },
      { id: taken[0]!.id, downloadable: false, key_version: 1 },
    ]);
    const statuses = await Promise.all(taken.map(async ({ id }) => (await download(id, '')).status));
    expect(statuses).toEqual([412, 412, 200]);
    const refused = await client.call('GET', `${guid}/backups/${taken[1]!.id}/download`);
    expect(refused.body).toMatchObject({
      error: 'BackupNotDownloadable',
      description: expect.stringContaining('version 2'),
    });
  });

  test.each([1, 2])(
    'as it is stored, backup %i of the three opens with its own key, and with no other',
    async (index) => {
      const { id, key } = taken[index]!;
      const { status, file, opensWith } = await download(id, '?format=stored');
      expect(status).toBe(200);
      const open = (passphrase: string) => {
        const command = opensWith!.replace('KEY', () => passphrase);
        return run('bash', ['-eo', 'pipefail', '-c', `{ ${command}; } < "$1" > "$1.dump"`, 'sh', file]);
      };
      await open(key!);
      const { stdout } = await run(path.join(findServerBinaries()!, 'pg_restore'), [
        '--list',
        `${file}.dump`,
      ]);
      expect(stdout).toContain('TABLE DATA public sample');
      await expect(open(taken[3 - index]!.key!)).rejects.toThrow();
    },
  );

  test('what lies in the store opens with its own key, the script of the docs, and nothing of Forestay', async () => {
    const { id, key } = taken[1]!;
    const { backup_id: backupId } = (await client.backups(guid)).find((backup) => backup.id === id)!;
    const stored = path.join(site.dataDir, 'store', backupId.slice(0, 36), backupId);
    const keyFile = path.join(folder, 'key');
    await writeFile(keyFile, key!, { mode: 0o600 });
    const { stdout } = await run('bash', [script, stored, keyFile], {
      encoding: 'buffer',
      maxBuffer: 64 * 1024 * 1024,
    });
    expect(stdout.subarray(0, 5).toString()).toBe('PGDMP');
    await writeFile(keyFile, taken[2]!.key!);
    await expect(run('bash', [script, stored, keyFile])).rejects.toMatchObject({ code: 3 });
    expect(await readFile(path.join(stored, 'manifest.json'), 'utf8')).not.toContain(key);
  });
});
