import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { findBackupById, listBackups } from '../../src/db/backups.ts';
import { copiesOf } from '../../src/db/copies.ts';
import { findInstance } from '../../src/db/instances.ts';
import { deleteBackup } from '../../src/operations/delete-backup.ts';
import { openDownload } from '../../src/operations/download.ts';
import { expire } from '../../src/operations/expire.ts';
import { requestRecovery } from '../../src/operations/recover.ts';
import { recoveryPoints } from '../../src/operations/recovery-points.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { catchUpCopies } from '../../src/operations/request-copies.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { faultyStore, type StoreFaults } from '../support/faulty-store.ts';
import { backupEnds, makeTestSite, never, restoreEnds, type TestSite, until } from '../support/test-site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

const hour = 60 * 60 * 1000;

describe('copies in secondary stores', () => {
  let stack: AsyncDisposableStack;
  let site: TestSite;
  /** Of the primary and of two secondary stores: what goes wrong there. */
  let faults: StoreFaults[];
  let stores: ObjectStore[];
  let secondaries: ObjectStore[];

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    faults = [{}, {}, {}];
    secondaries = [await makeStore(1), await makeStore(2)];
    site = stack.use(
      await makeTestSite({
        wrapStore: (store) => faultyStore(faults[0]!)(store),
        secondaries,
        retention: { minBackupCount: 1, retentionDays: 1 },
      }),
    );
    stores = [...site.context.stores];
    await site.startWorker();
  });
  afterAll(() => stack.disposeAsync());
  afterEach(() => {
    for (const each of faults) for (const name of Object.keys(each)) delete each[name as keyof StoreFaults];
    Object.assign(site.context, { stores });
  });

  async function makeStore(position: number): Promise<ObjectStore> {
    const root = await mkdtemp(path.join(tmpdir(), `secondary-${position}-`));
    stack.defer(() => rm(root, { recursive: true, force: true }));
    await prepareFilesystemStore(root);
    return faultyStore(faults[position]!)(createFilesystemStore({ root }));
  }

  function away(position: number): void {
    const fail = async () => {
      throw new ForestayError('StoreUnavailable', `store ${position} is away`);
    };
    Object.assign(faults[position]!, { beforePut: fail, beforeGet: fail });
  }

  async function takeBackup(guid: string) {
    const backup = await backupEnds(site.context, (await requestBackup(site.context, guid)).id);
    expect(backup.task).toMatchObject({ status: 'done', error: null });
    return backup;
  }

  const states = async (backupId: number) =>
    (await copiesOf(site.context.db, backupId)).map(({ status }) => status).sort();
  const copied = (backupId: number) =>
    until('all copies', async () => (await states(backupId)).join() === 'done,done');

  async function objectsIn(store: ObjectStore, prefix: string) {
    const found: { key: string; bytes: Buffer }[] = [];
    for await (const { key } of store.list(prefix, never)) {
      const parts = await (await store.get(key, { signal: never })).toArray();
      found.push({ key, bytes: Buffer.concat(parts) });
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async function restore(guid: string, id: number) {
    return restoreEnds(site.context, (await requestRestore(site.context, guid, id)).id);
  }

  /** Flips a byte of the data that a store holds. */
  async function damage(store: ObjectStore, backupId: string, at: number) {
    const key = `${backupId.slice(0, 36)}/${backupId}/data`;
    const bytes = Buffer.concat(await (await store.get(key, { signal: never })).toArray());
    bytes[at]! ^= 1;
    await store.put(key, oneOf(bytes), { signal: never });
  }
  async function* oneOf(bytes: Buffer) {
    yield bytes;
  }

  test('every backup is copied byte for byte to every secondary store, and says so', async () => {
    const { guid } = await site.addInstance('precious');
    const backup = await takeBackup(guid);
    await copied(backup.id);
    const [primary, first, second] = await Promise.all(
      stores.map((store) => objectsIn(store, `${backup.backupId.slice(0, 36)}/`)),
    );
    expect(primary!.map(({ key }) => key.split('/')[2])).toEqual(['data', 'manifest.json']);
    expect(first).toEqual(primary);
    expect(second).toEqual(primary);
    const points = await recoveryPoints(site.context, guid);
    expect(points.map(({ role, newest }) => [role, newest?.backupId])).toEqual([
      ['primary', backup.id],
      ['secondary', backup.id],
      ['secondary', backup.id],
    ]);
  });

  test('a copy that could not be made while its store was away is caught up with', async () => {
    const { guid } = await site.addInstance();
    const attempts: string[] = [];
    faults[1]!.beforePut = async (key) => {
      attempts.push(key);
      // Final, so that the test need not wait for five attempts.
      throw new ForestayError('StoreFull', 'the disk is full');
    };
    const backup = await takeBackup(guid);
    await until('the end of both copies', async () => (await states(backup.id)).join() === 'done,failed');
    faults[1]!.beforePut = undefined;
    await catchUpCopies(site.context, new Date(), never);
    expect(await states(backup.id)).toEqual(['done', 'failed']);
    await catchUpCopies(site.context, new Date(Date.now() + 25 * hour), never);
    await copied(backup.id);
    expect(attempts).toHaveLength(1);
  });

  test('a secondary store that is added later gets the backups from before', async () => {
    const { guid } = await site.addInstance();
    const later = secondaries[1]!;
    Object.assign(site.context, { stores: stores.slice(0, 2) });
    const backups = [await takeBackup(guid), await takeBackup(guid)];
    Object.assign(site.context, { stores });
    await catchUpCopies(site.context, new Date(), never);
    for (const backup of backups) await copied(backup.id);
    expect(await objectsIn(later, `${backups[0]!.backupId.slice(0, 36)}/`)).toHaveLength(4);
  });

  test('a damaged primary copy falls back to a secondary one, in the middle of a restore, and the restore says so', async () => {
    const content = randomBytes(20 * 1024 * 1024);
    const { guid, file } = await site.addInstance(content);
    const backup = await takeBackup(guid);
    await copied(backup.id);
    // Each store has a chunk that no other store lacks.
    await damage(stores[0]!, backup.backupId, 9_000_000);
    await damage(stores[1]!, backup.backupId, 100);
    await damage(stores[2]!, backup.backupId, 18_000_000);
    await writeFile(file, 'lost');
    const ended = await restore(guid, backup.id);
    expect(ended.task).toMatchObject({ status: 'done', error: null });
    expect((await readFile(file)).equals(content)).toBe(true);
    expect(ended.notes).toHaveLength(1);
    expect(ended.notes![0]).toContain(stores[0]!.name);
    expect(ended.notes![0]).toContain('damaged in chunk 2 of 3');
  });

  test('promise 2: a chunk that is damaged in every store fails the restore, and leaves the instance as it was', async () => {
    const { guid, file } = await site.addInstance();
    const backup = await takeBackup(guid);
    await copied(backup.id);
    for (const store of stores) await damage(store, backup.backupId, 40);
    await writeFile(file, 'what is there now');
    const ended = await restore(guid, backup.id);
    expect(ended.task).toMatchObject({ status: 'failed', error: { code: 'BackupDamaged' } });
    expect(await readFile(file, 'utf8')).toBe('what is there now');
  });

  test('restores, downloads and recoveries are served by a secondary store while the primary is away', async () => {
    const { guid, file } = await site.addInstance('from the secondary');
    await setKey(site.context, guid, 'a key of the user');
    const backup = await takeBackup(guid);
    await copied(backup.id);
    away(0);
    await writeFile(file, 'lost');
    const ended = await restore(guid, backup.id);
    expect(ended.task).toMatchObject({ status: 'done', error: null });
    expect(ended.notes!.join()).toContain('store 0 is away');
    expect(await readFile(file, 'utf8')).toBe('from the secondary');

    const download = await openDownload(site.context, guid, backup.id, { form: 'stored' }, never);
    expect(Buffer.concat(await download.stream.toArray())).toHaveLength(download.size!);

    const other = await site.addInstance('another instance');
    const backupGuid = backup.backupId.slice(0, 36);
    const { id } = await requestRecovery(
      site.context,
      other.guid,
      { backupGuid, encryptionKey: 'a key of the user' },
      never,
    );
    expect((await restoreEnds(site.context, id)).task.status).toBe('done');
    expect(await readFile(other.file, 'utf8')).toBe('from the secondary');
  });

  test('a damaged primary is no reason for a bad copy: the bytes come from where they are right', async () => {
    const { guid } = await site.addInstance();
    Object.assign(site.context, { stores: stores.slice(0, 2) });
    const backup = await takeBackup(guid);
    await until('one copy', async () => (await states(backup.id)).join() === 'done');
    await damage(stores[0]!, backup.backupId, 30);
    Object.assign(site.context, { stores });
    await catchUpCopies(site.context, new Date(), never);
    await copied(backup.id);
    const folder = `${backup.backupId.slice(0, 36)}/`;
    expect(await objectsIn(stores[2]!, folder)).toEqual(await objectsIn(stores[1]!, folder));
  });

  test('deleting a backup removes its copies, and stops those that are under way', async () => {
    const { guid } = await site.addInstance();
    const first = await takeBackup(guid);
    await copied(first.id);
    let atTheStore: (() => void) | undefined;
    const reached = new Promise<void>((resolve) => {
      atTheStore = resolve;
    });
    const { promise: deleted, resolve: letGo } = Promise.withResolvers<void>();
    faults[2]!.beforePut = async (key) => {
      if (!key.endsWith('manifest.json')) return;
      atTheStore!();
      await deleted;
    };
    const second = await takeBackup(guid);
    await reached;
    await deleteBackup(site.context, guid, second.id, never);
    await deleteBackup(site.context, guid, first.id, never);
    letGo();
    await until('the end of the copies', async () =>
      (await states(second.id)).every((status) => status === 'failed' || status === 'deleted'),
    );
    await until('empty stores', async () => {
      const folder = `${first.backupId.slice(0, 36)}/`;
      const left = await Promise.all(stores.map((store) => objectsIn(store, folder)));
      return left.every((objects) => objects.length === 0);
    });
  });

  test('retention and the sweep reach the copies; a store that is away is swept later', async () => {
    const { guid } = await site.addInstance();
    const old = await takeBackup(guid);
    await copied(old.id);
    const kept = await takeBackup(guid);
    await copied(kept.id);
    faults[1]!.beforeDelete = async () => {
      throw new ForestayError('StoreUnavailable', 'store 1 is away');
    };
    await expire(site.context, new Date(Date.now() + 48 * hour), never);
    expect((await findBackupById(site.context.db, old.id))!.task.status).toBe('deleted');
    const folder = `${old.backupId.slice(0, 36)}/`;
    const counts = () => Promise.all(stores.map(async (store) => (await objectsIn(store, folder)).length));
    expect(await counts()).toEqual([2, 4, 2]);
    await sweep(site.context, new Date(Date.now() + orphanAgeMs + 1000), never);
    expect(await counts()).toEqual([2, 4, 2]);
    faults[1]!.beforeDelete = undefined;
    await sweep(site.context, new Date(Date.now() + orphanAgeMs + 1000), never);
    expect(await counts()).toEqual([2, 2, 2]);
  });

  test('copies wait for no restore, and keep no instance busy', async () => {
    const { guid } = await site.addInstance();
    const { promise: hold, resolve: letGo } = Promise.withResolvers<void>();
    faults[1]!.beforePut = () => hold;
    faults[2]!.beforePut = () => hold;
    const first = await takeBackup(guid);
    await until('a running copy', async () => (await states(first.id)).includes('running'));
    const second = await takeBackup(guid);
    expect((await restore(guid, second.id)).task.status).toBe('done');
    const instance = (await findInstance(site.context.db, guid))!;
    expect(await listBackups(site.context.db, instance.id)).toHaveLength(2);
    letGo();
    await copied(first.id);
    await copied(second.id);
  });
});
