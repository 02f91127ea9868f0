import { chown, open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { mountTmpfs, whyNoTmpfs } from '../storage/filesystem/tmpfs.ts';
import { holdLock, lockName } from '../support/hold-lock.ts';
import { runSql } from '../support/postgres-client.ts';
import { crashAndRestart, type PostgresServer, startPostgresServer } from '../support/postgres-server.ts';
import { childrenOf } from '../support/processes.ts';
import { makeSampleDatabase, type SampleDatabase, type SampleOptions } from '../support/sample-database.ts';
import { type SiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { until } from '../support/test-site.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';

/** Restores that fail, on a PostgreSQL server of their own, because some of them bring it down. */

const stack = new AsyncDisposableStack();
let server: PostgresServer;
let site: SiteProcess;
let client: V1Client;
let dataDir: string;
const databases: SampleDatabase[] = [];

beforeAll(async () => {
  server = await startPostgresServer();
  stack.defer(() => server.stop());
  dataDir = stack.use(await temporaryFolder('failing-')).path;
  site = stack.use(await startSiteProcess({ dataDir, env: { TMPDIR: dataDir } }));
  client = v1Client(site);
});
afterEach(async () => {
  for (const database of databases.splice(0)) await database.close();
});
afterAll(() => stack.disposeAsync());

/** An instance with a backup, whose data has changed since. */
async function prepare(options: SampleOptions = {}, adminUrl = server.adminUrl) {
  const database = await makeSampleDatabase(adminUrl, options);
  databases.push(database);
  const guid = await client.register(database.connection);
  const backup = await client.backupEnds(guid, await client.backUp(guid));
  expect(backup.status).toBe('done');
  const old = await database.digest();
  await database.change();
  return { database, guid, backup, backedUp: old, present: await database.digest() };
}
type Prepared = Awaited<ReturnType<typeof prepare>>;

async function restoreEnds({ guid, backup }: Prepared) {
  return client.restoreEnds(guid, await client.restore(guid, backup.id));
}

/** The old data, writable, and nothing beside it. */
async function expectUntouched({ database, present }: Prepared): Promise<void> {
  expect(await database.digest()).toBe(present);
  await database.write();
  expect(await database.leftovers()).toEqual([]);
}

const isLoading = async () =>
  (await childrenOf(site.pid)).some(({ command }) => command.includes('pg_restore'));

describe('promise 3: a failed restore leaves the instance as it was', () => {
  test('when the backup is damaged in its last chunk', async () => {
    const prepared = await prepare({ megabytes: 20 });
    const { backup_id: backupId, size } = prepared.backup;
    const data = path.join(dataDir, 'store', backupId.slice(0, 36), backupId, 'data');
    const handle = await open(data, 'r+');
    await handle.write(Buffer.from('damage'), 0, 6, size - 100);
    await handle.close();
    const ended = await restoreEnds(prepared);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'BackupDamaged' } });
    await expectUntouched(prepared);
  });

  test('when it is cancelled while it loads', async () => {
    const prepared = await prepare({ megabytes: 60 });
    const id = await client.restore(prepared.guid, prepared.backup.id);
    await until('pg_restore', isLoading);
    expect((await client.call('POST', `${prepared.guid}/restores/${id}/cancel`)).status).toBe(200);
    const ended = await client.restoreEnds(prepared.guid, id);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'Canceled' } });
    await expectUntouched(prepared);
  });

  test('when it is cancelled while it waits to switch', async () => {
    const prepared = await prepare();
    const id = await prepareToSwitch(prepared, async (restoreId) => {
      expect((await client.call('POST', `${prepared.guid}/restores/${restoreId}/cancel`)).status).toBe(200);
      await client.restoreEnds(prepared.guid, restoreId);
    });
    const ended = await client.restoreEnds(prepared.guid, id);
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'Canceled' } });
    await expectUntouched(prepared);
  });

  test(`when the disk of the instance gets full${whyNoTmpfs()}`, {
    skip: whyNoTmpfs() !== '',
  }, async () => {
    await using disk = await mountTmpfs('44m');
    // A server of its own: one with a tablespace that is gone does not start again.
    const other = await startPostgresServer({ fsync: 'off' });
    await using _stopped = { [Symbol.asyncDispose]: () => other.stop() };
    const { uid, gid } = await stat(other.dataDir);
    await chown(disk.mountPoint, uid, gid);
    await runSql(other.adminUrl, `CREATE TABLESPACE small LOCATION '${disk.mountPoint}'`);
    const prepared = await prepare({ megabytes: 22, tablespace: 'small' }, other.adminUrl);
    const ended = await restoreEnds(prepared);
    expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'failed', error: { code: 'InstanceFull' } });
    await expectUntouched(prepared);
    databases.length = 0;
  });

  test('a restore into a server without one of its roles is done and says what was not kept', async () => {
    const prepared = await prepare();
    const { database, guid } = prepared;
    const other = `other_${database.name}`;
    await runSql(server.adminUrl, `CREATE ROLE ${other}`);
    await runSql(database.url, `GRANT SELECT ON sample TO ${other}`);
    const backup = await client.backupEnds(guid, await client.backUp(guid));
    await runSql(database.url, `REVOKE SELECT ON sample FROM ${other}`);
    await runSql(server.adminUrl, `DROP ROLE ${other}`);
    const digest = await database.digest();
    await database.change();
    const ended = await client.restoreEnds(guid, await client.restore(guid, backup.id));
    expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'done' });
    expect(ended.not_kept!.join(' ')).toContain(other);
    expect(await database.digest()).toBe(digest);
    await database.write();
  });

  test('when the server dies while it loads: the data is there after its recovery, and the next attempt restores', {
    timeout: 120_000,
  }, async () => {
    const prepared = await prepare({ megabytes: 30 });
    const id = await client.restore(prepared.guid, prepared.backup.id);
    await until('pg_restore', isLoading);
    server = await crashAndRestart(server);
    await expectWhole(prepared);
    await expectDone(prepared, id);
  });

  test('when the server dies in the moment of the switch: the same', { timeout: 120_000 }, async () => {
    const prepared = await prepare();
    const id = await prepareToSwitch(prepared, async () => {
      server = await crashAndRestart(server);
      await expectWhole(prepared);
    });
    await expectDone(prepared, id);
  });
});

/** Starts a restore and holds it at its last statement before the switch while something happens. */
async function prepareToSwitch(
  { database, guid, backup }: Prepared,
  meanwhile: (restoreId: number) => Promise<void>,
): Promise<number> {
  await using _held = await holdLock(server.adminUrl, lockName(database.name));
  const id = await client.restore(guid, backup.id);
  await until('a restore that waits to switch', async () => {
    const rows = await runSql(
      server.adminUrl,
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER DATABASE%RENAME%'`,
    );
    return rows.length > 0;
  });
  await meanwhile(id);
  return id;
}

async function expectWhole({ database, backedUp, present }: Prepared): Promise<void> {
  expect([backedUp, present]).toContain(await database.digest());
  await database.write();
}

/** The retry has restored; beside the data there is only what it replaced, for an undo. */
async function expectDone({ database, guid, backedUp }: Prepared, id: number): Promise<void> {
  const ended = await client.restoreEnds(guid, id, 90_000);
  expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'done', error: null });
  expect(await database.digest()).toBe(backedUp);
  await database.write();
  expect(await database.leftovers()).toEqual([expect.stringMatching(/_before$/)]);
}

test('nothing secret is in the log of all these failures', async () => {
  const token = (await readFile(path.join(dataDir, 'admin-token'), 'utf8')).trim();
  expect(site.output()).not.toContain(token);
  expect((await site.stop()).code).toBe(0);
});
