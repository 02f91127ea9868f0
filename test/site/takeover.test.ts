import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parseStateKey } from '../../src/core/site-state.ts';
import { listAllBackups } from '../../src/db/backups.ts';
import { listInstances } from '../../src/db/instances.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { holdLock, lockName, lockSampleTable } from '../support/hold-lock.ts';
import { runSql, withDatabase } from '../support/postgres-client.ts';
import { startPostgresServer } from '../support/postgres-server.ts';
import { childrenOf } from '../support/processes.ts';
import { makeSampleDatabase, type SampleDatabase } from '../support/sample-database.ts';
import { type SiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { openStoppedSite } from '../support/stopped-site.ts';
import { never, until } from '../support/test-site.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';

/** Several processes on one PostgreSQL server: an API without a worker, and two workers of which one dies or freezes. */

interface Subject {
  readonly database: SampleDatabase;
  readonly guid: string;
}

const stack = new AsyncDisposableStack();
let adminUrl: string;
let dataDir: string;
let env: Record<string, string>;
let client: V1Client;
/** One for each moment that a worker is caught in. */
let subjects: Record<'dumping' | 'storing' | 'loading' | 'switching', Subject>;
let api: SiteProcess;

beforeAll(async () => {
  const server = await startPostgresServer({ fsync: 'off' });
  stack.defer(() => server.stop());
  adminUrl = server.adminUrl;
  await runSql(adminUrl, 'CREATE DATABASE state_of_site');
  dataDir = stack.use(await temporaryFolder('takeover-')).path;
  env = { DATABASE_URL: withDatabase(adminUrl, 'state_of_site'), FORESTAY_CONCURRENCY: '4' };
  api = stack.use(await startSiteProcess({ dataDir, env, args: ['serve', '--no-worker'] }));
  client = v1Client(api);
  const make = async (url: string, megabytes: number): Promise<Subject> => {
    const database = stack.use(await makeSampleDatabase(url, { megabytes }));
    return { database, guid: await client.register(database.connection) };
  };
  // On two servers: while a session waits for a client that takes no data, as the pg_dump of a frozen worker does,
  // PostgreSQL drops no database (ProcSignalBarrier), so that restores at its server would wait for that worker to wake.
  const otherUrl = inject('postgresUrl');
  subjects = {
    dumping: await make(otherUrl, 1),
    storing: await make(otherUrl, 30),
    loading: await make(adminUrl, 30),
    switching: await make(adminUrl, 1),
  };
});
afterAll(async () => {
  letGo();
  await stack.disposeAsync();
});

const startWorker = () => startSiteProcess({ dataDir, env, args: ['worker'] });

/** What the newest backup of an instance must restore to, by GUID. */
const newestDigests = new Map<string, string>();

const backUp = async ({ guid }: Subject) => client.backupEnds(guid, await client.backUp(guid), 30_000);

/** Waits until a worker has started a program for a database, and gives its process id. */
async function programFor(worker: SiteProcess, database: (name: string) => boolean): Promise<number> {
  const find = async () =>
    (await childrenOf(worker.pid)).find(({ environment }) =>
      database(/PGDATABASE=([^\0]*)/.exec(environment)?.[1] ?? ''),
    )?.pid;
  return until('a program of the worker', find);
}

async function waitsToSwitch(): Promise<void> {
  await until('a restore that waits to switch', async () => {
    const rows = await runSql(
      adminUrl,
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER DATABASE%RENAME%' AND application_name LIKE 'forestay-%'`,
    );
    return rows.length > 0;
  });
}

/** What the four tasks must come to. */
interface Caught {
  readonly dump: number;
  readonly store: number;
  readonly load: number;
  readonly switch: number;
  readonly digests: { load: string; switch: string };
}

/**
 * Gives a worker four tasks and holds each at its moment: pg_dump waiting, pg_dump begun, pg_restore begun, and the
 * last statement before the switch. `strike` is what happens to it then; after that it is let go.
 */
async function catchInTheAct(worker: SiteProcess, strike: () => Promise<void>): Promise<Caught> {
  const { dumping, storing, loading, switching } = subjects;
  const [loadBackup, switchBackup] = [await backUp(loading), await backUp(switching)];
  const digests = { load: await loading.database.digest(), switch: await switching.database.digest() };
  await loading.database.change();
  await switching.database.change();
  await using tableLock = await holdLock(dumping.database.url, lockSampleTable);
  const dump = await client.backUp(dumping.guid);

  const load = await client.restore(loading.guid, loadBackup.id);
  const isStaging = (name: string) => name.startsWith('forestay_');
  const restorer = await programFor(worker, isStaging);
  stop(restorer);

  await using nameLock = await holdLock(adminUrl, lockName(switching.database.name));
  const switchId = await client.restore(switching.guid, switchBackup.id);
  await waitsToSwitch();

  const store = await client.backUp(storing.guid);
  const dumper = await programFor(worker, (name) => name === storing.database.name);
  stop(dumper);

  await strike();
  await nameLock[Symbol.asyncDispose]();
  await tableLock[Symbol.asyncDispose]();
  return { dump, store, load, switch: switchId, digests };
}

/** Programs of a worker that are held half-way. */
const held: number[] = [];

function stop(pid: number): void {
  process.kill(pid, 'SIGSTOP');
  held.push(pid);
}

function letGo(): void {
  for (const pid of held.splice(0)) {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // Its pipe or its session had ended, so it has too.
    }
  }
}

async function allEnd(caught: Caught): Promise<{ attempt: number; started_at: string | null }[]> {
  const { dumping, storing, loading, switching } = subjects;
  const ended = await Promise.all([
    client.backupEnds(dumping.guid, caught.dump),
    client.backupEnds(storing.guid, caught.store),
    client.restoreEnds(loading.guid, caught.load),
    client.restoreEnds(switching.guid, caught.switch),
  ]);
  for (const task of ended) expect(task, JSON.stringify(task)).toMatchObject({ status: 'done', error: null });
  expect(await loading.database.digest()).toBe(caught.digests.load);
  expect(await switching.database.digest()).toBe(caught.digests.switch);
  for (const { database } of Object.values(subjects)) await database.write();
  for (const { database, guid } of [dumping, storing]) newestDigests.set(guid, await database.digest());
  return ended;
}

test('promise 4: a worker is killed in four tasks at once, and another takes them over within a minute', {
  timeout: 180_000,
}, async () => {
  await using first = await startWorker();
  let killedAt = 0;
  await using second = {
    worker: undefined as SiteProcess | undefined,
    [Symbol.asyncDispose]: async () => second.worker?.kill(),
  };
  const caught = await catchInTheAct(first, async () => {
    second.worker = await startWorker();
    killedAt = Date.now();
    await first.kill();
  });
  letGo();
  const ended = await allEnd(caught);
  const takeUpMs = ended.map(({ started_at }) => Date.parse(started_at!) - killedAt);
  console.log(`taken over after ${takeUpMs.join(', ')} ms`);
  expect(ended.map(({ attempt }) => attempt)).toEqual([2, 2, 2, 2]);
  expect(Math.max(...takeUpMs)).toBeLessThan(60_000);
  expect((await second.worker!.stop()).code).toBe(0);
});

test('promise 4: a worker that is frozen in four tasks, and wakes when another has done them, changes nothing', {
  timeout: 180_000,
}, async () => {
  await using first = await startWorker();
  let frozenAt = 0;
  const caught = await catchInTheAct(first, async () => {
    frozenAt = Date.now();
    first.signal('SIGSTOP');
  });
  await using second = await startWorker();
  const ended = await allEnd(caught);
  console.log(
    `taken over after ${ended.map(({ started_at }) => Date.parse(started_at!) - frozenAt).join(', ')} ms`,
  );
  expect(ended.map(({ attempt }) => attempt)).toEqual([2, 2, 2, 2]);

  // Life goes on before the frozen one wakes.
  for (const { database } of Object.values(subjects)) await database.change();
  const digests = async () => Promise.all(Object.values(subjects).map(({ database }) => database.digest()));
  const [before, manifestsBefore, lists] = [await digests(), await manifests(), await allLists()];
  first.signal('SIGCONT');
  letGo();
  await until('the end of what the frozen worker did', () => givenUp(first).size === 4);
  expect(await digests()).toEqual(before);
  expect(await manifests()).toEqual(manifestsBefore);
  expect(await allLists()).toEqual(lists);
  for (const { database } of Object.values(subjects)) await database.write();
  // It has noticed, and works on.
  expect((await second.stop()).code).toBe(0);
  expect((await backUp(subjects.dumping)).status).toBe('done');
  newestDigests.set(subjects.dumping.guid, await subjects.dumping.database.digest());
  expect((await first.stop()).code).toBe(0);
});

/** The tasks of which a worker has logged a warning: that their attempt is over, and not its own any more. */
function givenUp(worker: SiteProcess): Set<number> {
  const lines = worker
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{"level":40'));
  const entries = lines.map((line) => JSON.parse(line) as { task_id?: number; attempt?: number });
  return new Set(entries.flatMap(({ task_id, attempt }) => (attempt === 1 && task_id ? [task_id] : [])));
}

async function manifests(): Promise<Record<string, string>> {
  const root = path.join(dataDir, 'store');
  const names = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('manifest.json'));
  const read = names.sort().map(async (name) => [name, await readFile(path.join(root, name), 'utf8')]);
  return Object.fromEntries(await Promise.all(read));
}

/** What the API says of all tasks. */
async function allLists(): Promise<unknown[]> {
  const guids = Object.values(subjects).map(({ guid }) => guid);
  return Promise.all(guids.flatMap((guid) => [client.backups(guid), client.restores(guid)]));
}

test('promise 4: all the backups restore, and after the next sweep nothing is left of dead and frozen workers', {
  timeout: 120_000,
}, async () => {
  const worker = await startWorker();
  for (const { database, guid } of [subjects.dumping, subjects.storing]) {
    await database.change();
    const [newest] = await client.backups(guid);
    const id = await client.restore(guid, newest!.id);
    expect((await client.restoreEnds(guid, id)).status).toBe('done');
    expect(await database.digest()).toBe(newestDigests.get(guid));
    await database.write();
  }
  expect((await worker.stop()).code).toBe(0);
  expect((await api.stop()).code).toBe(0);

  const expected: string[] = ['.forestay-store'];
  {
    await using stopped = await openStoppedSite(dataDir, { databaseUrl: env.DATABASE_URL! });
    await sweep(stopped.context, new Date(Date.now() + orphanAgeMs + 60_000), never);
    for (const instance of await listInstances(stopped.context.db)) {
      for (const { backupId, dataName, task } of await listAllBackups(stopped.context.db, instance.id)) {
        expect(task.status).toBe('done');
        const folder = `${instance.backupGuid}/${backupId}`;
        expected.push(`${folder}/${dataName}`, `${folder}/manifest.json`);
      }
    }
  }
  const root = path.join(dataDir, 'store');
  const files = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    // The newest states of the site are there to stay.
    .filter((name) => parseStateKey(name) === undefined);
  expect(files.sort()).toEqual(expected.sort());
  for (const { database } of Object.values(subjects)) expect(await database.leftovers()).toEqual([]);
});
