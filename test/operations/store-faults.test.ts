import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { expect, test, vi } from 'vitest';
import { hasCode } from '../../src/core/errors.ts';
import { isFinished } from '../../src/core/task.ts';
import { findTask, type Task } from '../../src/db/tasks.ts';
import { deleteBackup } from '../../src/operations/delete-backup.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { runTask } from '../../src/operations/run-task.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { repeatWith, retrying, usualPolicy } from '../../src/storage/retry.ts';
import { keysOf } from '../contract/store-data.ts';
import { startSwiftWithBucket, storeAt, type TestStoreOptions } from '../storage/s3/servers.ts';
import { badWeather, seeded } from '../support/bad-weather.ts';
import { startFakeS3 } from '../support/fake-s3.ts';
import { startFaultProxy } from '../support/fault-proxy.ts';
import { backupEnds, makeTestSite, never, restoreEnds, type TestSite } from '../support/test-site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

/**
 * Backups and restores in an S3 store behind a proxy that does whatever goes wrong between two machines.
 * `TEST_FAULTS=300 TEST_FAULTS_SERVER=swift npx vitest run test/operations/store-faults.test.ts` does it for long, and on a
 * real server.
 */
const rounds = Number(process.env.TEST_FAULTS ?? 15);
const seed = Number(process.env.TEST_FAULTS_SEED ?? 4711);
/** How long the store is gone in the other test; `TEST_OUTAGE_MS=120000` is the real thing. */
const outageMs = Number(process.env.TEST_OUTAGE_MS ?? 3_000);
const onSwift = process.env.TEST_FAULTS_SERVER === 'swift';

const MiB = 1024 * 1024;
const random = seeded(seed);
const oneOf = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
/** One request, two parts, four parts and two chunks of the manifest; random, so that it stays that large. */
const sizes = [1, 50_000, 50_000, 6 * MiB, 6 * MiB, 17 * MiB];
/** What a failure may be called: nothing is wrong with the backups, and nothing is but the store. */
const storeErrors = ['StoreUnavailable', 'StoreTimeout'];

/** A size that was said wrong twice, one after the other, is damage to whoever hears it. That it is none is shown at the end. */
const isMistaken = ({ error }: Task) => error?.message.endsWith('is missing or of the wrong size.');

interface Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly options: TestStoreOptions;
  uploads(): Promise<string[]>;
}

async function startServer(): Promise<Server> {
  if (onSwift) {
    const { endpoint, credentials, uploads, close } = await startSwiftWithBucket();
    return { endpoint, options: { credentials }, uploads, [Symbol.asyncDispose]: close };
  }
  const { endpoint, uploads, close } = await startFakeS3();
  return {
    endpoint,
    options: {},
    uploads: async () => [...uploads.values()].map(({ name }) => name),
    [Symbol.asyncDispose]: close,
  };
}

/** What a worker does with a task, but for the waits between its attempts. */
async function runToEnd({ context }: TestSite, taskId: number): Promise<Task> {
  for (;;) {
    const task = (await findTask(context.db, taskId))!;
    if (isFinished(task.status)) return task;
    await runTask(context, { taskId, jobId: task.jobId }, never);
  }
}

const taskOf = async ({ context }: TestSite, table: 'backups' | 'restores', id: number) =>
  (await context.db.selectFrom(table).select('task_id').where('id', '=', id).executeTakeFirstOrThrow())
    .task_id;

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

test(`promises 1 to 4: ${rounds} backups and ${rounds} restores in bad weather (seed ${seed})`, {
  timeout: 60_000 + rounds * 20_000,
}, async () => {
  await goThrough(rounds);
});

const hardRounds = Math.ceil(rounds / 4);

test(`promises 1 to 4: ${hardRounds} backups where hardly a request comes through: those that fail say why`, {
  timeout: 60_000 + 6 * hardRounds * 20_000,
}, async () => {
  // Now and then all of them come through in the end: then there is nothing to be told, and it goes on.
  const told: string[] = [];
  for (let runs = 0; runs < 6 && !told.some((end) => end.startsWith('backup failed Store')); runs++)
    told.push(...Object.keys(await goThrough(hardRounds, [0.6, 0.9, 0.97])));
  expect(told).toContainEqual(expect.stringMatching(/^backup failed Store/));
});

/** So many backups, and a restore of each that is done; resolves with how often the tasks ended in which way. */
async function goThrough(rounds: number, rates?: readonly number[]): Promise<Record<string, number>> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const proxy = await startFaultProxy(server.endpoint);
  stack.defer(() => proxy.close());
  const repeat = repeatWith({ attempts: 4, firstDelayMs: 5, maxDelayMs: 50, random });
  const throughProxy = () =>
    retrying(storeAt(proxy.url, { ...server.options, repeat, silenceMs: 1_000, completeMs: 3_000 }), repeat);
  const site = stack.use(await makeTestSite({ wrapStore: throughProxy }));
  const weather = badWeather(random, rates);
  proxy.setRule(weather.rule);

  const ends: Record<string, number> = {};
  const count = (what: string) => {
    ends[what] = (ends[what] ?? 0) + 1;
  };
  const note = (kind: string, task: Task) => {
    count(`${kind} ${task.status}${task.error ? ` ${task.error.code}` : ''}, attempts ${task.attempt}`);
    if (task.status === 'done') return;
    expect(task).toMatchObject({ status: 'failed', error: { hint: expect.stringMatching(/./) } });
    expect([...storeErrors, ...(isMistaken(task) ? ['BackupDamaged'] : [])]).toContain(task.error?.code);
  };
  const restore = async (guid: string, file: string, backup: number, expected: string) => {
    await writeFile(file, 'what is there now');
    const { id } = await requestRestore(site.context, guid, backup);
    const task = await runToEnd(site, await taskOf(site, 'restores', id));
    note('restore', task);
    const found = await readFile(file);
    if (task.status === 'done') expect(digest(found)).toBe(expected);
    else expect(found.toString()).toBe('what is there now');
    return task.status === 'done';
  };

  /** Backups that are done and have not been shown to restore. */
  const unproven: { guid: string; file: string; id: number; expected: string }[] = [];
  let left = rounds;
  const lane = async () => {
    const { guid, file } = await site.addInstance();
    while (left-- > 0) {
      const content = randomBytes(oneOf(sizes));
      const expected = digest(content);
      await writeFile(file, content);
      const { id } = await requestBackup(site.context, guid);
      const task = await runToEnd(site, await taskOf(site, 'backups', id));
      note('backup', task);
      if (task.status !== 'done') continue;
      if (!(await restore(guid, file, id, expected))) unproven.push({ guid, file, id, expected });
      else if (random() < 0.8) {
        // Not all of it may go while the store is as it is: the sweep comes back to the rest.
        await deleteBackup(site.context, guid, id, never).catch((error: unknown) => {
          if (!hasCode(error, 'StoreUnavailable', 'StoreTimeout')) throw error;
          count('deletions cut short');
        });
      }
    }
  };
  await Promise.all([lane(), lane(), lane()]);

  proxy.setRule(undefined);
  for (const { guid, file, id, expected } of unproven)
    expect(await restore(guid, file, id, expected)).toBe(true);
  const before = await withoutOwner(site, server);
  await sweep(site.context, new Date(Date.now() + 2 * orphanAgeMs), never);
  expect(await withoutOwner(site, server)).toEqual({ objects: [], missing: [], uploads: [] });
  expect(Object.keys(weather.seen).length).toBeGreaterThan(rounds < 15 ? 0 : 8);
  if (process.env.TEST_FAULTS) {
    const left = { objects: before.objects.length, uploads: before.uploads.length };
    process.stderr.write(`${JSON.stringify({ ends, faults: weather.seen, left }, null, 2)}\n`);
  }
  return ends;
}

test(`promise 4: a store that is gone for ${outageMs} ms in the middle of an upload`, {
  timeout: 120_000 + 4 * outageMs,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const proxy = await startFaultProxy(server.endpoint);
  stack.defer(() => proxy.close());
  // The waits of a product that meets a short outage are scaled, those of one that meets a long one are its own.
  const repeat = repeatWith(
    outageMs < 60_000 ? { attempts: 4, firstDelayMs: 20, maxDelayMs: 200 } : usualPolicy,
  );
  const store = retrying(storeAt(proxy.url, { ...server.options, repeat, silenceMs: 5_000 }), repeat);
  const site = stack.use(await makeTestSite({ wrapStore: () => store }));
  const content = randomBytes(17 * MiB);
  const { guid, file } = await site.addInstance(content);
  let goneUntil = Number.POSITIVE_INFINITY;
  let lost = 0;
  proxy.setRule(({ url }) => {
    if (/partNumber=2/.test(url ?? '')) goneUntil = Math.min(goneUntil, performance.now() + outageMs);
    if (goneUntil === Number.POSITIVE_INFINITY || performance.now() > goneUntil) return undefined;
    lost += 1;
    return { kind: 'reset', when: 'before' };
  });
  await site.startWorker();
  const { id } = await requestBackup(site.context, guid);
  const { task } = await backupEnds(site.context, id, 60_000 + 3 * outageMs);
  expect(lost).toBeGreaterThan(2);
  if (process.env.TEST_OUTAGE_MS) process.stderr.write(`${JSON.stringify({ lost, task })}\n`);
  if (task.status === 'done') {
    await writeFile(file, 'what is there now');
    const restore = await requestRestore(site.context, guid, id);
    expect((await restoreEnds(site.context, restore.id)).task.status).toBe('done');
    expect((await readFile(file)).equals(content)).toBe(true);
  } else {
    expect(task).toMatchObject({
      status: 'failed',
      error: { code: 'StoreUnavailable', hint: expect.stringMatching(/./) },
    });
  }
  await sweep(site.context, new Date(Date.now() + 2 * orphanAgeMs), never);
  expect(await withoutOwner(site, server)).toEqual({ objects: [], missing: [], uploads: [] });
});

/** What lies in the store and belongs to no backup that is done, and what such a backup lacks. */
async function withoutOwner(site: TestSite, server: Server) {
  const store = storeAt(server.endpoint, server.options);
  const kept = await site.context.db
    .selectFrom('backups as backup')
    .innerJoin('tasks as task', 'task.id', 'backup.task_id')
    .innerJoin('instances as instance', 'instance.id', 'backup.instance_id')
    .select(['backup.backup_id', 'backup.data_name', 'instance.backup_guid'])
    .where('task.status', '=', 'done')
    .execute();
  const owned = kept.flatMap(({ backup_guid, backup_id, data_name }) =>
    [data_name, 'manifest.json'].map((name) => `${backup_guid}/${backup_id}/${name}`),
  );
  const found = await keysOf(store.list('', never));
  return {
    objects: found.filter((key) => !owned.includes(key)),
    missing: owned.filter((key) => !found.includes(key)),
    uploads: await server.uploads(),
  };
}
