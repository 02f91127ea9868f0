import { execFile } from 'node:child_process';
import { readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, inject, test } from 'vitest';
import type { BackupBody } from '../../src/http/v1/backups.ts';
import { makeSampleDatabase } from '../support/sample-database.ts';
import { startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { until } from '../support/test-site.ts';
import { v1Client } from '../support/v1-client.ts';

const run = promisify(execFile);
const main = path.resolve(import.meta.dirname, '../../src/main.ts');
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

/** Lists as V1 answers them; when a copy was finished is known only from the copy itself. */
const comparable = (backups: readonly BackupBody[]) =>
  backups.map(({ copies, ...backup }) => ({
    ...backup,
    copies: copies.map(({ store, status }) => ({ store, status })),
  }));

test('promise 6: a site whose database is deleted lists the same backups after catalog rebuild, and restores them', async () => {
  const data = stack.use(await temporaryFolder('lost-site-'));
  const stores = stack.use(await temporaryFolder('kept-stores-'));
  const primary = path.join(stores.path, 'primary');
  const env = {
    FORESTAY_STORE: `file:${primary}`,
    FORESTAY_SECONDARY_STORES: `file:${path.join(stores.path, 'secondary')}`,
  };
  const database = stack.use(await makeSampleDatabase(inject('postgresUrl'), { megabytes: 1 }));
  const lost = stack.use(await startSiteProcess({ dataDir: data.path, env }));
  const client = v1Client(lost);
  const guid = await client.register(database.connection, 'shop');
  await client.backupEnds(guid, await client.backUp(guid));
  await client.call('PATCH', `${guid}/backup-config`, { encryption_key: 'the key of the user' });
  await database.change();
  const digest = await database.digest();
  const newest = await client.backUp(guid);
  expect((await client.backupEnds(guid, newest)).status).toBe('done');
  await until('the copies', async () =>
    (await client.backups(guid)).every(({ copies }) => copies.every(({ status }) => status === 'done')),
  );
  const instance = (await client.call('GET', guid)).body;
  await until('a copy of the state with the key', async () => {
    const [site] = await readdir(path.join(primary, 'sites')).catch(() => []);
    const copies = site ? await readdir(path.join(primary, 'sites', site)) : [];
    return copies.some((name) => Number(name.slice('state-'.length)) > Date.parse(`${instance.updated_at}`));
  });
  const before = await client.backups(guid);
  await lost.kill();
  await rm(path.join(data.path, 'db'), { recursive: true });

  const { PATH = '', XDG_CACHE_HOME = '' } = process.env;
  const settings = { PATH, XDG_CACHE_HOME, TMPDIR: tmpdir(), FORESTAY_DATA_DIR: data.path, ...env };
  const forestay = async (...args: string[]) =>
    (await run(process.execPath, [main, ...args], { cwd: tmpdir(), env: settings })).stdout;
  const report = JSON.parse(await forestay('catalog', 'rebuild', '--json'));
  expect(report).toMatchObject({ instances: 1, backups: 2, copies: 2, withoutConnection: [], skipped: [] });
  await expect(forestay('catalog', 'rebuild')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('has instances already'),
  });
  expect(await forestay('catalog', 'check', '--read')).toContain(
    '4 backups and copies checked, 0 discrepancies',
  );
  await rename(path.join(primary, before[0]!.backup_id.slice(0, 36)), path.join(stores.path, 'moved away'));
  await expect(forestay('catalog', 'check')).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('2 discrepancies'),
  });
  await rename(path.join(stores.path, 'moved away'), path.join(primary, before[0]!.backup_id.slice(0, 36)));

  const anew = stack.use(await startSiteProcess({ dataDir: data.path, env }));
  const again = v1Client(anew);
  expect(comparable(await again.backups(guid))).toEqual(comparable(before));
  expect((await again.call('GET', guid)).body).toEqual({
    ...instance,
    urls: [expect.objectContaining({ link: `${anew.url}/service-instances/${guid}` })],
  });
  await database.change();
  expect((await again.restoreEnds(guid, await again.restore(guid, newest))).status).toBe('done');
  expect(await database.digest()).toBe(digest);
});
