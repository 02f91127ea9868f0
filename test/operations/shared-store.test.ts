import { randomUUID } from 'node:crypto';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { findBackup } from '../../src/db/backups.ts';
import { findInstance } from '../../src/db/instances.ts';
import { findTask } from '../../src/db/tasks.ts';
import { deleteBackup } from '../../src/operations/delete-backup.ts';
import { expire } from '../../src/operations/expire.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { runTask } from '../../src/operations/run-task.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { inChunks, keysOf } from '../contract/store-data.ts';
import { storeAt } from '../storage/s3/servers.ts';
import { startFakeS3 } from '../support/fake-s3.ts';
import { temporaryFolder } from '../support/site-process.ts';
import { makeTestSite, never, type TestSite } from '../support/test-site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

/** Two sites with one store, the same prefix included: each must take the other's objects for what they are. */

const dayMs = 24 * 60 * 60 * 1000;
const afterADay = () => new Date(Date.now() + orphanAgeMs + dayMs);

interface Shared {
  readonly siteOptions: Parameters<typeof makeTestSite>[0];
  readonly store: ObjectStore;
  /** As a put leaves it whose process was killed two days ago. */
  leaveUnfinished(key: string): Promise<void>;
  /** Keys of such puts. */
  unfinished(): Promise<string[]>;
}

async function sharedBucket(stack: AsyncDisposableStack): Promise<Shared> {
  const server = await startFakeS3();
  stack.defer(() => server.close());
  const store = storeAt(server.endpoint);
  return {
    siteOptions: { wrapStore: () => storeAt(server.endpoint) },
    store,
    async leaveUnfinished(key) {
      const initiated = new Date(Date.now() - 2 * dayMs);
      server.uploads.set(randomUUID(), { name: `site/${key}`, initiated, metadata: {}, parts: new Map() });
    },
    unfinished: async () => [...server.uploads.values()].map(({ name }) => name.slice('site/'.length)),
  };
}

async function sharedFolder(stack: AsyncDisposableStack): Promise<Shared> {
  const folder = stack.use(await temporaryFolder('shared-'));
  const root = path.join(folder.path, 'store');
  await prepareFilesystemStore(root);
  const temps = path.join(root, '.forestay-tmp');
  await mkdir(temps);
  return {
    siteOptions: { storeRoot: root },
    store: createFilesystemStore({ root }),
    async leaveUnfinished(key) {
      const file = path.join(temps, `${randomUUID()}+${key.replaceAll('/', '+')}`);
      const writtenAt = new Date(Date.now() - 2 * dayMs);
      await writeFile(file, 'half of it');
      await utimes(file, writtenAt, writtenAt);
    },
    unfinished: async () => (await readdir(temps)).map((name) => name.split('+').slice(1).join('/')),
  };
}

async function backUp({ context }: TestSite, guid: string): Promise<{ id: number; folder: string }> {
  const { id } = await requestBackup(context, guid);
  const instance = (await findInstance(context.db, guid))!;
  const { task, backupId } = (await findBackup(context.db, instance.id, id))!;
  await runTask(context, { taskId: task.id, jobId: (await findTask(context.db, task.id))!.jobId }, never);
  expect((await findTask(context.db, task.id))!.status).toBe('done');
  return { id, folder: `${instance.backupGuid}/${backupId}` };
}

describe.each([
  ['bucket', sharedBucket],
  ['folder', sharedFolder],
] as const)('two sites that share one %s', (_, share) => {
  test('each sweeps, expires and deletes its own and nothing else', async () => {
    await using stack = new AsyncDisposableStack();
    const { siteOptions, store, leaveUnfinished, unfinished } = await share(stack);
    const retention = { minBackupCount: 1, retentionDays: 30 };
    const ours = stack.use(await makeTestSite({ ...siteOptions, retention }));
    const theirs = stack.use(await makeTestSite({ ...siteOptions, retention }));
    const [ourInstance, theirInstance] = [await ours.addInstance(), await theirs.addInstance()];
    const backUpThrice = async (site: TestSite, guid: string) => [
      await backUp(site, guid),
      await backUp(site, guid),
      await backUp(site, guid),
    ];
    const mine = await backUpThrice(ours, ourInstance.guid);
    const foreign = await backUpThrice(theirs, theirInstance.guid);
    // What a crash leaves: an object that its backup's row does not know, and a put that was never finished.
    for (const { folder } of [mine[2]!, foreign[2]!]) {
      await store.put(`${folder}/data-7`, inChunks(Buffer.from('x')), { signal: never });
      await leaveUnfinished(`${folder}/data-8`);
    }
    const objectsOf = async (backups: typeof mine) => {
      const keys = await keysOf(store.list('', never));
      return keys.filter((key) => backups.some(({ folder }) => key.startsWith(`${folder}/`)));
    };
    const before = await objectsOf(foreign);
    expect(before).toHaveLength(7);

    await deleteBackup(ours.context, ourInstance.guid, mine[0]!.id, never);
    await expire(ours.context, new Date(Date.now() + 40 * dayMs), never);
    await sweep(ours.context, afterADay(), never);
    const left = ['data', 'manifest.json'].map((name) => `${mine[2]!.folder}/${name}`);
    expect(await objectsOf(mine)).toEqual(left);
    expect(await objectsOf(foreign)).toEqual(before);
    expect(await unfinished()).toEqual([`${foreign[2]!.folder}/data-8`]);

    await expire(theirs.context, new Date(Date.now() + 40 * dayMs), never);
    await sweep(theirs.context, afterADay(), never);
    expect(await objectsOf(foreign)).toEqual(
      ['data', 'manifest.json'].map((name) => `${foreign[2]!.folder}/${name}`),
    );
    expect(await objectsOf(mine)).toEqual(left);
    expect(await unfinished()).toEqual([]);
  });
});
