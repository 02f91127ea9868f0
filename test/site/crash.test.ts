import { randomInt } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parseStateKey } from '../../src/core/site-state.ts';
import { listAllBackups } from '../../src/db/backups.ts';
import { listInstances } from '../../src/db/instances.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { childrenOf } from '../support/processes.ts';
import { makeSampleDatabase, type SampleDatabase } from '../support/sample-database.ts';
import { type SiteProcess, spawnSiteProcess, startSiteProcess } from '../support/site-process.ts';
import { openStoppedSite } from '../support/stopped-site.ts';
import { never, until } from '../support/test-site.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';

/** How many processes are killed. Each takes about four seconds. */
const kills = Number(process.env.TEST_KILLS ?? 12);
/** Sizes of the databases: from one that is through before the process dies to one that hardly ever is. */
const megabytes = [1, 5, 15];
/** A task fails after five attempts, so a round that kills more often than this would end in failures by design. */
const killsInARound = 4;

interface Instance {
  readonly database: SampleDatabase;
  readonly guid: string;
  /** What each done backup must restore to. */
  readonly digests: Map<number, string>;
  /** Digest of the data that is there, when no restore runs. */
  present: string;
  task?: { kind: 'backup' | 'restore'; id: number; digest: string; attempt: number; since: number };
  restored: Set<number>;
}

let dataDir: string;
let site: SiteProcess;
let client: V1Client;
const instances: Instance[] = [];
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'crash-'));
  const adminUrl = inject('postgresUrl');
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  await start();
  stack.defer(() => site.kill());
  for (const size of megabytes) {
    const database = stack.use(await makeSampleDatabase(adminUrl, { megabytes: size }));
    instances.push({
      database,
      guid: await client.register(database.connection, database.name),
      digests: new Map(),
      present: await database.digest(),
      restored: new Set(),
    });
  }
});
afterAll(() => stack.disposeAsync());

const env = { FORESTAY_CONCURRENCY: '3' };

async function start(): Promise<void> {
  site = await startSiteProcess({ dataDir, env });
  client = v1Client(site);
}

/** Every other round backs up, every other restores the backups of the one before, over data that changed since. */
async function request(instance: Instance): Promise<void> {
  const waiting = [...instance.digests.keys()].filter((id) => !instance.restored.has(id));
  const backupId = waiting[0];
  if (backupId === undefined) {
    const id = await client.backUp(instance.guid);
    instance.task = { kind: 'backup', id, digest: instance.present, attempt: 0, since: 0 };
    return;
  }
  await instance.database.change();
  instance.present = await instance.database.digest();
  const id = await client.restore(instance.guid, backupId);
  instance.restored.add(backupId);
  instance.task = { kind: 'restore', id, digest: instance.digests.get(backupId)!, attempt: 0, since: 0 };
}

const look = async ({ guid, task }: Instance) => {
  if (task?.kind === 'backup') return (await client.backups(guid)).find(({ id }) => id === task.id)!;
  return (await client.restores(guid)).find(({ id }) => id === task!.id)!;
};

/** The data is the old or the new, entirely, and takes writes: while the process is dead, and at any time. */
async function expectWhole({ database, present, task }: Instance): Promise<void> {
  await database.write();
  expect([present, ...(task?.kind === 'restore' ? [task.digest] : [])]).toContain(await database.digest());
}

const figures = {
  kills: 0,
  /** Nothing was unfinished any more: these do not count. */
  missed: 0,
  duringStart: 0,
  hits: {} as Record<string, number>,
  takeUpMs: [] as number[],
  startMs: [] as number[],
  attempts: [] as number[],
  done: { backup: 0, restore: 0 },
};

/** About how long the tasks of a round take on this machine, in milliseconds: grows with hits and shrinks with misses. */
let within = 2000;

/** Kills the process at some moment, and starts another. Resolves with whether there was anything left to kill. */
async function killAndRestart(): Promise<boolean> {
  await sleep(randomInt(within));
  const unfinished: Instance[] = [];
  const programs = await childrenOf(site.pid);
  for (const instance of instances) {
    const seen = await look(instance);
    if (seen.status !== 'queued' && seen.status !== 'running') continue;
    unfinished.push(instance);
    // Phases are written once a second: what programs run is more exact.
    const program = programs.find(({ environment }) =>
      environment.includes(`PGUSER=${instance.database.role}\0`),
    );
    const at = program ? 'transferring' : (seen.progress?.phase ?? seen.status);
    const what = `${instance.task!.kind}, ${at}`;
    figures.hits[what] = (figures.hits[what] ?? 0) + 1;
    instance.task!.attempt = seen.attempt;
  }
  await site.kill();
  if (unfinished.length > 0) figures.kills += 1;
  else figures.missed += 1;
  for (const instance of instances) await expectWhole(instance);

  if (randomInt(10) === 0) {
    const starting = spawnSiteProcess({ dataDir, env });
    await sleep(randomInt(3000));
    starting.child.kill('SIGKILL');
    await starting.exited;
    figures.duringStart += 1;
  }
  await start();
  // How long a start takes is another figure.
  for (const instance of unfinished) instance.task!.since = Date.now();
  figures.startMs.push(Math.round(site.startMs));
  within = Math.max(500, Math.round(within * (unfinished.length > 0 ? 1.03 : 0.7)));
  return unfinished.length > 0;
}

/** How long after the last start behind a kill each task was worked on again. */
async function noteTakeUp(): Promise<void> {
  for (const instance of instances) {
    const { task } = instance;
    if (!task || task.since === 0) continue;
    const seen = await look(instance);
    if (seen.attempt === task.attempt && seen.status === 'queued') continue;
    if (seen.started_at !== null && seen.attempt > task.attempt)
      figures.takeUpMs.push(Math.max(0, Date.parse(seen.started_at) - task.since));
    task.since = 0;
  }
}

async function roundEnds(): Promise<void> {
  for (const instance of instances) {
    const { task, guid, database } = instance;
    const ended = await until(`the end of a ${task!.kind}`, async () => {
      await noteTakeUp();
      const seen = await look(instance);
      return seen.status !== 'queued' && seen.status !== 'running' && seen;
    });
    expect(ended, JSON.stringify(ended)).toMatchObject({ status: 'done', error: null });
    figures.attempts.push(ended.attempt);
    figures.done[task!.kind] += 1;
    if (task!.kind === 'backup') instance.digests.set(task!.id, task!.digest);
    else instance.present = task!.digest;
    await database.write();
    expect(await database.digest()).toBe(instance.present);
    expect((await client.backups(guid)).every(({ status }) => status === 'done')).toBe(true);
    delete instance.task;
  }
}

test(`promises 1, 3 and 4: after ${kills} kills at random moments of backups and restores, every backup is done and restores`, {
  timeout: 120_000 + kills * 30_000,
}, async () => {
  while (figures.kills < kills) {
    for (const instance of instances) await request(instance);
    const count = randomInt(1, killsInARound + 1);
    for (let killed = 0; killed < count && figures.kills < kills; killed++) {
      if (!(await killAndRestart())) break;
    }
    await roundEnds();
  }
  // What was backed up in the last round is restored, too.
  for (const instance of instances) {
    if ([...instance.digests.keys()].every((id) => instance.restored.has(id))) continue;
    await request(instance);
  }
  for (const instance of instances.filter(({ task }) => task)) {
    expect((await client.restoreEnds(instance.guid, instance.task!.id)).status).toBe('done');
    expect(await instance.database.digest()).toBe(instance.task!.digest);
    delete instance.task;
  }
  const { takeUpMs, startMs, attempts, ...rest } = figures;
  const sorted = takeUpMs.sort((one, other) => one - other);
  const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)!];
  console.log(
    JSON.stringify({
      ...rest,
      takeUpMs: { count: sorted.length, median, worst },
      worstStartMs: Math.max(...startMs),
      endedInAttempt: attempts.join(' '),
    }),
  );
  expect(worst).toBeLessThan(60_000);
});

test('promise 4: after the next sweep nothing is left of what was killed, neither in the store nor at the server', {
  timeout: 120_000,
}, async () => {
  expect((await site.stop()).code).toBe(0);
  const later = new Date(Date.now() + orphanAgeMs + 60_000);
  const expected: string[] = ['.forestay-store'];
  {
    await using stopped = await openStoppedSite(dataDir);
    await sweep(stopped.context, later, never);
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
  for (const { database } of instances) {
    expect(await database.leftovers()).toEqual([]);
    await database.write();
  }
});
