import { readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { backupGuidOf } from '../../src/core/backup.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { makeSampleDatabase, type SampleDatabase } from '../support/sample-database.ts';
import { type SiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { backupEnds, makeTestSite } from '../support/test-site.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';

/** Two sites that share a store and nothing else; the first is gone before the second does anything. */

const key = 'the key that the user of the lost site set';
const stack = new AsyncDisposableStack();
let storeRoot: string;
let site: SiteProcess;
let client: V1Client;
let database: SampleDatabase;
let guid: string;
let backupGuid: string;
/** Of the lost site: `backup_id` and what is in it, oldest first. */
const lost: { backupId: string; digest: string }[] = [];
let before: string[];

beforeAll(async () => {
  const store = stack.use(await temporaryFolder('shared-store-'));
  storeRoot = path.join(store.path, 'store');
  const env = { FORESTAY_STORE: `file:${storeRoot}` };
  const adminUrl = inject('postgresUrl');

  const first = stack.use(await temporaryFolder('first-site-'));
  const origin = await makeSampleDatabase(adminUrl, { megabytes: 3 });
  const firstSite = stack.use(await startSiteProcess({ dataDir: first.path, env }));
  const firstClient = v1Client(firstSite);
  const originGuid = await firstClient.register(origin.connection, 'origin');
  const prepared = await firstClient.call<{ backup_guid: string }>(
    'POST',
    `${originGuid}/disaster-recovery/prepare`,
    { encryption_key: key },
  );
  backupGuid = prepared.body.backup_guid;
  for (let backup = 1; backup <= 2; backup++) {
    const digest = await origin.digest();
    const ended = await firstClient.backupEnds(originGuid, await firstClient.backUp(originGuid));
    expect(ended.status).toBe('done');
    lost.push({ backupId: ended.backup_id, digest });
    await origin.change();
  }
  await firstSite.kill();
  await rm(first.path, { recursive: true });
  await origin.close();
  before = await listing(backupGuid);
  expect(before).toHaveLength(4);

  const second = stack.use(await temporaryFolder('second-site-'));
  database = stack.use(await makeSampleDatabase(adminUrl, { megabytes: 1 }));
  site = stack.use(await startSiteProcess({ dataDir: second.path, env }));
  client = v1Client(site);
  guid = await client.register(database.connection, 'destination');
});
afterAll(() => stack.disposeAsync());

/** Every file under a GUID with its size and the times of its last changes, by name. */
async function listing(folder: string): Promise<string[]> {
  const entries = await readdir(path.join(storeRoot, folder), { recursive: true, withFileTypes: true });
  const lines = entries
    .filter((entry) => entry.isFile())
    .map(async (entry) => {
      const name = path.join(entry.parentPath, entry.name);
      const { size, mtimeNs, ctimeNs } = await stat(name, { bigint: true });
      return `${path.relative(storeRoot, name)} ${size} ${mtimeNs} ${ctimeNs}`;
    });
  return (await Promise.all(lines)).sort();
}

const perform = (backup_guid: string, encryption_key = key) =>
  client.call<{ restore_id: number; error: string; description: string }>(
    'POST',
    `${guid}/disaster-recovery/perform`,
    { backup_guid, encryption_key },
  );

describe('promise 6: the store is enough for a disaster recovery', () => {
  test('perform restores the newest backup of a site that is gone; a second one meanwhile is refused', async () => {
    const answer = await perform(backupGuid);
    expect(answer).toMatchObject({ status: 202 });
    expect(await perform(backupGuid)).toMatchObject({ status: 409, body: { error: 'RestoreInProgress' } });
    const ended = await client.restoreEnds(guid, answer.body.restore_id);
    expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'done', backup_id: null });
    expect(await database.digest()).toBe(lost[1]!.digest);
    await database.write();
  });

  test('a backup_id restores exactly that backup: a fork', async () => {
    const { body } = await perform(lost[0]!.backupId);
    expect((await client.restoreEnds(guid, body.restore_id)).status).toBe('done');
    expect(await database.digest()).toBe(lost[0]!.digest);
  });

  test('what cannot be done is refused at once, with the documented code and a sentence', async () => {
    const refused = async (...request: Parameters<typeof perform>) => {
      const { status, body } = await perform(...request);
      expect(body.description.length).toBeGreaterThan(20);
      return `${status} ${body.error}`;
    };
    expect(await refused(backupGuid, 'not the key of anybody')).toBe('403 EncryptionKeyMismatch');
    expect(await refused('00000000-0000-4000-8000-000000000000')).toBe('404 BackupNotFound');
    expect(await refused(`${backupGuid}-1700000000000`)).toBe('404 BackupNotFound');
    expect(await refused('no guid at all')).toBe('400 BadRequest');
    expect(await client.restores(guid)).toHaveLength(2);
  });

  test('a backup of another kind of data service is refused', async () => {
    await using other = await makeTestSite({ storeRoot });
    const instance = await other.addInstance();
    await setKey(other.context, instance.guid, key);
    await other.startWorker();
    const { id } = await requestBackup(other.context, instance.guid);
    const backup = await backupEnds(other.context, id);
    expect(backup.task.status).toBe('done');
    const answer = await perform(backupGuidOf(backup.backupId));
    expect(answer).toMatchObject({ status: 422, body: { error: 'IncompatibleBackup' } });
    expect(answer.body.description).toContain('fake');
  });

  test('while the store is away the answer is 502, and afterwards it works again', async () => {
    await rename(storeRoot, `${storeRoot}.away`);
    try {
      expect(await perform(backupGuid)).toMatchObject({ status: 502, body: { error: 'StoreUnavailable' } });
    } finally {
      await rename(`${storeRoot}.away`, storeRoot);
    }
    const { status, body } = await perform(backupGuid);
    expect(status).toBe(202);
    expect((await client.restoreEnds(guid, body.restore_id)).status).toBe('done');
    expect(await database.digest()).toBe(lost[1]!.digest);
  });

  test('nothing under the GUID of the lost site was written, touched or deleted, also when the new one backs up', async () => {
    expect((await client.backupEnds(guid, await client.backUp(guid))).status).toBe('done');
    expect(await listing(backupGuid)).toEqual(before);
  });
});
