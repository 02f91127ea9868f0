import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from 'mariadb';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import type { MariadbFingerprint } from '../../support/compare-mariadb.ts';
import { connectMariadb, quoteMariadb } from '../../support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { type MariadbInstance, makeMariadbInstance } from './instance.ts';

const engine = createMariadbEngine();
const never = new AbortController().signal;

let server: MariadbServer;
let instance: MariadbInstance;
let folder: string;
let backup: TakenBackup;
let restored: MariadbFingerprint;
let before: MariadbFingerprint;
let id: string;
let workers: ChildProcess[] = [];

beforeAll(async () => {
  server = await startMariadbServer({ fsync: 'off' });
});
afterAll(() => server.stop());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crash-'));
  id = randomUUID();
  await prepare(server);
});

async function prepare(at: MariadbServer): Promise<void> {
  instance = await makeMariadbInstance(at, 'owner');
  await instance.fill('bulk');
  await instance.asUser(`CREATE FUNCTION one() RETURNS INT DETERMINISTIC RETURN 1;
    CREATE TABLE noted (a INT PRIMARY KEY, b INT); CREATE TABLE log (a INT);
    CREATE TRIGGER \`note\` AFTER INSERT ON \`noted\` FOR EACH ROW INSERT INTO log VALUES (NEW.a);
    CREATE VIEW ones AS SELECT one() AS one, a FROM noted; INSERT INTO noted VALUES (1, 1)`);
  backup = await takeBackup(engine, instance.connection);
  restored = await instance.fingerprint();
  await writeFile(join(folder, 'backup'), backup.bytes);
  await instance.write();
  await instance.asUser(
    'DROP VIEW ones; CREATE VIEW twos AS SELECT 2 AS two; INSERT INTO noted VALUES (2, 2)',
  );
  before = await instance.fingerprint();
}

afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  await Promise.all(workers.map((worker) => worker.exitCode ?? worker.signalCode ?? once(worker, 'exit')));
  workers = [];
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
  await instance.close();
  await rm(folder, { recursive: true });
});

const settle = () => engine.settleRestore(instance.connection, id, never);

test.for(['bytes', 'switch'] as const)(
  'a worker is killed at %s: the data stays, and the next attempt restores',
  async (step) => {
    const worker = await startWorker(step);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    expect(await settle()).toBe('clean');
    expect(await instance.remains()).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    await restoreAgain();
  },
);

test.for(['start', 'bytes', 'switch'] as const)(
  'a worker is frozen at %s and wakes when another has restored: it changes nothing',
  async (step) => {
    const worker = await startWorker(step);
    worker.kill('SIGSTOP');
    expect(await settle()).toBe('clean');
    expect(await instance.remains()).toEqual([]);
    await restoreAgain();
    await instance.write();
    const after = await instance.fingerprint();
    const ended = nextMessage(worker);
    worker.kill('SIGCONT');
    worker.send('go');
    // Who had only to switch finds that another has; the others find their sessions or staging gone.
    expect(await ended).toMatch(
      { start: /^failed AttemptSuperseded/, bytes: /^failed Instance/, switch: /^done$/ }[step],
    );
    expect(await instance.fingerprint()).toEqual(after);
    expect(await settle()).toBe('switched');
  },
);

test('after a kill behind the switch the restore is known to be done', async () => {
  const worker = await startWorker('never');
  expect(await nextMessage(worker)).toBe('done');
  expect(await settle()).toBe('switched');
});

test('a crash of the worker between the two halves of the switch is settled: the restore is finished, and can be undone', async () => {
  const blocker = await blockTheSecondHalf(server);
  await crashBetween();
  await blocker.end();
  await expectFinished();
});

test('a crash of the server between the two halves of the switch is settled in the same way', async () => {
  await instance.close();
  const own = await startMariadbServer();
  try {
    await prepare(own);
    const blocker = await blockTheSecondHalf(own);
    await crashBetween();
    await own.crashAndRestart();
    await blocker.end().catch(() => {});
    await expectFinished();
    await instance.close();
  } finally {
    await own.stop();
    instance = await makeMariadbInstance(server, 'owner');
  }
});

test('a crash of the server in the middle of the statement that takes the tables away leaves all of them or none', async () => {
  await instance.close();
  const own = await startMariadbServer();
  try {
    await prepare(own);
    const worker = await startWorker('switch');
    worker.send('go');
    await vi.waitFor(async () => expect(await tableNames()).not.toContain('bulk'), {
      interval: 1,
      timeout: 15_000,
    });
    worker.kill('SIGKILL');
    await own.crashAndRestart();
    const outcome = await settle();
    expect(await instance.fingerprint()).toEqual(outcome === 'switched' ? restored : before);
    await instance.write();
    await instance.close();
  } finally {
    await own.stop();
    instance = await makeMariadbInstance(server, 'owner');
  }
});

async function tableNames(): Promise<string[]> {
  const rows = await instance.admin<{ name: string }>(
    'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?',
    [instance.database],
  );
  return rows.map(({ name }) => name);
}

async function crashBetween(): Promise<void> {
  const worker = await startWorker('switch');
  worker.send('go');
  await betweenTheHalves();
  worker.kill('SIGKILL');
  await once(worker, 'exit');
}

async function expectFinished(): Promise<void> {
  expect(await settle()).toBe('switched');
  expect(await instance.fingerprint()).toEqual(restored);
  await instance.asUser('INSERT INTO noted VALUES (3, 3)');
  expect(await instance.asUser('SELECT a FROM log ORDER BY a')).toEqual([{ a: 1 }, { a: 3 }]);
  await engine.undo?.undo(instance.connection, id, never);
  expect(await instance.fingerprint()).toEqual(before);
  expect(await settle()).toBe('clean');
}

test('an undo that is interrupted between its halves is finished by the next one', async () => {
  await restoreAgain();
  const blocker = await blockTheSecondHalf(server);
  const undoing = engine.undo?.undo(instance.connection, id, never);
  undoing?.catch(() => {});
  await betweenTheHalves();
  await instance.killSource();
  await expect(undoing).rejects.toMatchObject({ code: 'InstanceUnreachable' });
  await blocker.end().catch(() => {});
  await engine.undo?.undo(instance.connection, id, never);
  expect(await instance.fingerprint()).toEqual(before);
});

test('what cannot be made after all brings the old data back', async () => {
  const user = `'${instance.user}'@'%'`;
  const schema = `\`${instance.database.replaceAll('_', '\\_')}\`.*`;
  const ticket = ticketFor(backup.source, {
    id,
    beforeSwitch: async () => {
      await instance.asUser('DROP VIEW twos');
      before = await instance.fingerprint();
      await instance.admin(`REVOKE CREATE VIEW ON ${schema} FROM ${user}`);
    },
  });
  // The old data has a view, too, as far as the journal knows: that is left out then.
  const restoring = engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  await expect(restoring).rejects.toMatchObject({
    code: expect.stringMatching(/ToolFailed|InstanceRefused/),
  });
  await instance.admin(`GRANT CREATE VIEW ON ${schema} TO ${user}`);
  expect(await settle()).toBe('clean');
  expect((await instance.fingerprint()).tables).toEqual(before.tables);
});

/** A transaction that has called a function holds on to it, so that nobody can drop it before the transaction ends. */
async function blockTheSecondHalf(at: MariadbServer): Promise<Connection> {
  const blocker = await connectMariadb(at.admin);
  await blocker.query(`START TRANSACTION; SELECT ${quoteMariadb(instance.database)}.one()`);
  return blocker;
}

/** Resolves when the old tables are away, and whoever took them away waits for the function. */
async function betweenTheHalves(): Promise<void> {
  await vi.waitFor(
    async () => {
      const waiting = await instance.admin(
        "SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = ? AND STATE LIKE 'Waiting for stored function%'",
        [instance.user],
      );
      expect(waiting).toHaveLength(1);
    },
    { timeout: 15_000, interval: 20 },
  );
}

/** Resolves when the worker waits at the step. */
async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<ChildProcess> {
  const worker = fork(new URL('../restore-worker.ts', import.meta.url), { execArgv: [] });
  workers.push(worker);
  const module = new URL('../../../src/engines/mariadb/engine.ts', import.meta.url).href;
  const order: WorkerOrder = {
    engine: { module, make: 'createMariadbEngine', options: {} },
    connection: instance.connection,
    file: join(folder, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect(await nextMessage(worker)).toBe(`at ${holdAt}`);
  return worker;
}

async function nextMessage(worker: ChildProcess): Promise<unknown> {
  return (await once(worker, 'message'))[0];
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await instance.fingerprint()).toEqual(restored);
}
