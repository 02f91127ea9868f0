import { randomBytes, randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { canonicalJson, manifestKey, parseManifest } from '../../src/core/manifest.ts';
import { stateKey } from '../../src/core/site-state.ts';
import { copiesOf } from '../../src/db/copies.ts';
import { findInstance } from '../../src/db/instances.ts';
import { listBackupsOf } from '../../src/db/listings.ts';
import { checkCatalog } from '../../src/operations/check-catalog.ts';
import { deleteBackup } from '../../src/operations/delete-backup.ts';
import { changeInstance, deleteInstance } from '../../src/operations/instances.ts';
import { keepState } from '../../src/operations/keep-state.ts';
import { rebuildCatalog } from '../../src/operations/rebuild-catalog.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { backupEnds, makeTestSite, never, restoreEnds, type TestSite, until } from '../support/test-site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

const masterKey = randomBytes(32);

describe('promise 6: the store is enough', () => {
  let stack: AsyncDisposableStack;
  let storeRoot: string;
  let secondary: ObjectStore;
  let site: TestSite;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    storeRoot = await makeRoot();
    secondary = createFilesystemStore({ root: await makeRoot() });
    site = await openSite();
  });
  afterEach(() => stack.disposeAsync());

  async function makeRoot(): Promise<string> {
    const root = path.join(tmpdir(), `catalog-${randomUUID()}`);
    stack.defer(() => rm(root, { recursive: true, force: true }));
    await prepareFilesystemStore(root);
    return root;
  }

  /** A site with an empty database. */
  async function openSite(options: { masterKey?: Buffer; stores?: 'both' | 'secondary alone' } = {}) {
    const opened = stack.use(
      await makeTestSite({ storeRoot, masterKey: options.masterKey ?? masterKey, secondaries: [secondary] }),
    );
    if (options.stores === 'secondary alone') Object.assign(opened.context, { stores: [secondary] });
    return opened;
  }

  async function takeBackup(guid: string): Promise<number> {
    const { id } = await requestBackup(site.context, guid);
    expect((await backupEnds(site.context, id)).task.status).toBe('done');
    await until('the copy', async () => (await copiesOf(site.context.db, id))[0]?.status === 'done');
    return id;
  }

  /** What V1 lists of an instance's backups are made of. */
  async function listOf(of: TestSite, guid: string) {
    const listed = (await listBackupsOf(of.context.db, guid, {}))!;
    return {
      newestUserKeyVersion: listed.newestUserKeyVersion,
      backups: listed.backups
        .filter(({ task }) => task.status === 'done')
        .map(({ task: { id: _, bytesIn: __, progressAt: ___, ...task }, copies, ...backup }) => ({
          ...backup,
          task,
          copies: copies.map(({ store, status }) => ({ store, status })),
        })),
    };
  }

  const rebuild = (of: TestSite, options = {}) =>
    rebuildCatalog(of.context, { verify: true, ...options }, never);
  const check = (of: TestSite, read = true) => checkCatalog(of.context, { read }, never);

  test('a lost database is made anew from the store and the master key: lists are as they were, and backups restore', async () => {
    await site.startWorker();
    const first = await site.addInstance('first');
    const second = await site.addInstance('second');
    await takeBackup(second.guid);
    await takeBackup(first.guid);
    await setKey(site.context, first.guid, 'the key of the user');
    await writeFile(first.file, 'first, later');
    const newest = await takeBackup(first.guid);
    await deleteBackup(site.context, second.guid, await takeBackup(second.guid), never);
    // A key that no backup was made with yet: no manifest tells of it.
    await setKey(site.context, first.guid, 'a newer key');
    await deleteInstance(site.context, second.guid);
    await keepState(site.context, new Date(), never);
    const before = [await listOf(site, first.guid), await listOf(site, second.guid)];
    const instances = [
      await findInstance(site.context.db, first.guid),
      await findInstance(site.context.db, second.guid),
    ];
    expect(before.map(({ backups }) => backups.length)).toEqual([2, 1]);

    const anew = await openSite();
    const report = await rebuild(anew);
    expect(report).toMatchObject({
      siteId: site.context.siteId,
      stateOf: expect.any(String),
      instances: 2,
      withoutConnection: [],
      keys: 4,
      backups: 3,
      copies: 3,
      skipped: [],
      ofOtherSites: 0,
    });
    expect([await listOf(anew, first.guid), await listOf(anew, second.guid)]).toEqual(before);
    expect([
      await findInstance(anew.context.db, first.guid),
      await findInstance(anew.context.db, second.guid),
    ]).toEqual(instances);
    expect((await check(anew)).discrepancies).toEqual([]);

    await anew.startWorker();
    await writeFile(first.file, 'lost');
    const restore = await requestRestore(anew.context, first.guid, newest);
    expect((await restoreEnds(anew.context, restore.id)).task).toMatchObject({ status: 'done', error: null });
    expect(await readFile(first.file, 'utf8')).toBe('first, later');
    const next = await requestBackup(anew.context, first.guid);
    expect(next.id).toBeGreaterThan(newest);
    expect((await backupEnds(anew.context, next.id)).task.status).toBe('done');
    await expect(rebuild(anew)).rejects.toMatchObject({ code: 'Misconfigured' });
  });

  test('without a copy of the state the manifests alone bring back instances, keys and backups; a connection is set again', async () => {
    await site.startWorker();
    const { guid, file } = await site.addInstance('precious');
    await takeBackup(guid);
    await setKey(site.context, guid, 'the key of the user');
    const newest = await takeBackup(guid);
    const before = await listOf(site, guid);

    const anew = await openSite({ stores: 'secondary alone' });
    expect(await rebuild(anew)).toMatchObject({
      stateOf: null,
      instances: 1,
      withoutConnection: [guid],
      keys: 2,
      backups: 2,
      copies: 0,
    });
    const after = await listOf(anew, guid);
    expect(after.backups.map((backup) => ({ ...backup, copies: [] }))).toEqual(
      before.backups.map((backup) => ({ ...backup, copies: [] })),
    );
    await anew.startWorker();
    const refused = await requestRestore(anew.context, guid, newest);
    expect((await restoreEnds(anew.context, refused.id)).task.error).toMatchObject({
      code: 'ConnectionMissing',
    });
    await changeInstance(anew.context, guid, { connection: { file } }, never);
    await writeFile(file, 'lost');
    const restore = await requestRestore(anew.context, guid, newest);
    expect((await restoreEnds(anew.context, restore.id)).task.status).toBe('done');
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  test('what is damaged, incomplete or of another site is left out and named, and one whole copy is enough', async () => {
    await site.startWorker();
    const { guid } = await site.addInstance();
    const ids = [await takeBackup(guid), await takeBackup(guid), await takeBackup(guid)];
    const other = await openSite({ masterKey: randomBytes(32) });
    await other.startWorker();
    const foreign = await other.addInstance();
    await backupEnds(other.context, (await requestBackup(other.context, foreign.guid)).id);
    const [primary] = site.context.stores;
    const { backups } = (await listBackupsOf(site.context.db, guid, {}))!;
    const keyOf = (id: number, name: string) => {
      const { backupId } = backups.find((backup) => backup.id === id)!;
      return `${backupId.slice(0, 36)}/${backupId}/${name}`;
    };
    await put(primary, keyOf(ids[0]!, 'manifest.json'), 'not a manifest');
    // Signed by nobody: a changed name.
    const changed = parseManifest(await bytesOf(primary, keyOf(ids[1]!, 'manifest.json')));
    await put(
      primary,
      keyOf(ids[1]!, 'manifest.json'),
      canonicalJson({ ...changed, instance_name: 'renamed' }),
    );
    await primary.delete([keyOf(ids[2]!, 'data')], never);
    await secondary.delete([keyOf(ids[2]!, 'data')], never);

    const anew = await openSite();
    const report = await rebuild(anew);
    expect(report).toMatchObject({ backups: 2, copies: 2, ofOtherSites: 2, withoutConnection: [guid] });
    expect(report.skipped.map(({ store, key }) => `${store} ${key}`).sort()).toEqual(
      [
        `${primary.name} ${keyOf(ids[0]!, 'manifest.json')}`,
        `${primary.name} ${keyOf(ids[1]!, 'manifest.json')}`,
        `${primary.name} ${keyOf(ids[2]!, 'manifest.json')}`,
        `${secondary.name} ${keyOf(ids[2]!, 'manifest.json')}`,
      ].sort(),
    );
    const names = (await findInstance(anew.context.db, guid))!.name;
    expect(names).toBe('instance 1');
    // The stores and the new catalogue do not agree, and the check says where.
    expect((await check(anew)).discrepancies.map(({ problem }) => problem).sort()).toEqual([
      'manifest',
      'manifest',
      'orphaned',
      'orphaned',
    ]);
  });

  test('a site is chosen by its id where the master key opens several, and a wrong master key opens none', async () => {
    await site.startWorker();
    await takeBackup((await site.addInstance()).guid);
    const twin = await openSite();
    await twin.startWorker();
    await backupEnds(twin.context, (await requestBackup(twin.context, (await twin.addInstance()).guid)).id);
    await expect(rebuild(await openSite())).rejects.toMatchObject({
      code: 'Misconfigured',
      hint: expect.stringContaining(twin.context.siteId),
    });
    const anew = await openSite();
    expect(await rebuild(anew, { siteId: site.context.siteId })).toMatchObject({
      siteId: site.context.siteId,
      backups: 1,
    });
    await expect(rebuild(await openSite({ masterKey: randomBytes(32) }))).rejects.toMatchObject({
      code: 'Misconfigured',
      message: expect.stringContaining('nothing that the master key opens'),
    });
  });

  test('the state is copied after every change and once a day, to a store that was away later, and old copies go', async () => {
    const states = async (store: ObjectStore) => {
      const keys: string[] = [];
      for await (const { key } of store.list(`sites/${site.context.siteId}/`, never)) keys.push(key);
      return keys.sort();
    };
    const at = (minutes: number) => new Date(Date.UTC(2030, 0, 1) + minutes * 60_000);
    const [primary] = site.context.stores;
    await keepState(site.context, at(0), never);
    await keepState(site.context, at(1), never);
    expect(await states(primary)).toEqual([stateKey(site.context.siteId, at(0))]);
    const { guid } = await site.addInstance();
    await keepState(site.context, at(2), never);
    await setKey(site.context, guid, 'the key of the user');
    await keepState(site.context, at(3), never);
    await changeInstance(site.context, guid, { name: 'renamed' }, never);
    Object.assign(site.context, { stores: [primary] });
    await keepState(site.context, at(4), never);
    expect(await states(primary)).toHaveLength(4);
    expect(await states(secondary)).toHaveLength(3);
    Object.assign(site.context, { stores: [primary, secondary] });
    await keepState(site.context, at(5), never);
    expect(await states(secondary)).toHaveLength(4);
    for (let day = 1; day <= 30; day++) await keepState(site.context, at(day * 24 * 60 + 10), never);
    expect(await states(primary)).toHaveLength(20);
    // Neither the connection nor a passphrase can be read from it.
    const newest = await bytesOf(primary, (await states(primary)).at(-1)!);
    expect(newest.includes('the key of the user')).toBe(false);
    expect(newest.includes('connection')).toBe(false);
  });

  test('the check finds what is missing, orphaned, of another size or with another digest, in every store', async () => {
    await site.startWorker();
    const { guid } = await site.addInstance();
    const ids: number[] = [];
    for (let count = 0; count < 5; count++) ids.push(await takeBackup(guid));
    const { backups } = (await listBackupsOf(site.context.db, guid, {}))!;
    const folderOf = (id: number) => {
      const { backupId } = backups.find((backup) => backup.id === id)!;
      return `${backupId.slice(0, 36)}/${backupId}`;
    };
    expect(await check(site)).toMatchObject({ checked: 10, discrepancies: [] });
    const [primary] = site.context.stores;
    await primary.delete([`${folderOf(ids[0]!)}/manifest.json`], never);
    await primary.delete([`${folderOf(ids[1]!)}/data`], never);
    await put(secondary, `${folderOf(ids[2]!)}/data`, 'short');
    const bytes = await bytesOf(secondary, `${folderOf(ids[3]!)}/data`);
    bytes[bytes.length - 1]! ^= 1;
    await put(secondary, `${folderOf(ids[3]!)}/data`, bytes);
    await put(primary, `${folderOf(ids[4]!)}/data-7`, 'left behind');
    await put(
      primary,
      manifestKey(folderOf(ids[4]!).split('/')[0]!, `${folderOf(ids[4]!).split('/')[0]!}-1600000000000`),
      '{}',
    );
    await put(primary, 'somebody/else', 'x');
    const found = (await check(site)).discrepancies.map(
      ({ store, problem, key }) =>
        `${store === primary.name ? 'primary' : 'secondary'} ${problem} ${key.split('/').at(-1)}`,
    );
    expect(found.sort()).toEqual(
      [
        'primary missing manifest.json',
        'primary missing data',
        'secondary size data',
        'secondary digest data',
        'primary orphaned data-7',
        'primary orphaned manifest.json',
      ].sort(),
    );
    // Without reading the data, a flipped byte stays unseen; nothing else does.
    expect((await check(site, false)).discrepancies).toHaveLength(5);
  });
});

async function bytesOf(store: ObjectStore, key: string): Promise<Buffer> {
  return Buffer.concat(await (await store.get(key, { signal: never })).toArray());
}

async function put(store: ObjectStore, key: string, content: string | Buffer): Promise<void> {
  async function* bytes() {
    yield Buffer.from(content as string);
  }
  await store.put(key, bytes(), { signal: never });
}
