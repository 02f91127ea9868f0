import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { markerKey } from '../../../src/engines/redis/marker.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { makeRedisInstance, type RedisInstance } from './instance.ts';

const engine = createRedisEngine();
const never = new AbortController().signal;

let server: RedisServer;
let instance: RedisInstance;
let folder: string;
let backup: TakenBackup;
let id: string;
let workers: ChildProcess[] = [];

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crash-'));
  id = randomUUID();
  instance = await makeRedisInstance(server);
  await instance.fill('bulk');
  await server.run(
    'FUNCTION',
    'LOAD',
    "#!lua name=old\nredis.register_function('f', function() return 1 end)",
  );
  backup = await takeBackup(engine, instance.connection);
  await writeFile(join(folder, 'backup'), backup.bytes);
  await instance.write();
  await server.run(
    'FUNCTION',
    'LOAD',
    "#!lua name=new\nredis.register_function('g', function() return 2 end)",
  );
});
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
  'promise 3: a worker is killed at %s: the data stays, and the next attempt restores',
  async (step) => {
    const before = await instance.fingerprint();
    const worker = await startWorker(step);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    expect(await instance.fingerprint()).toEqual(before);
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
    await restoreAgain();
    await instance.write();
    const after = await instance.fingerprint();
    const ended = once(worker, 'message');
    worker.kill('SIGCONT');
    worker.send('go');
    expect((await ended)[0]).toBe(
      step === 'start' ? 'failed AttemptSuperseded' : 'failed InstanceUnreachable',
    );
    expect(await instance.fingerprint()).toEqual(after);
    expect(await settle()).toBe('switched');
  },
);

test('a worker is killed behind the switch: the restore is known to be done, and can be undone', async () => {
  const before = await instance.fingerprint();
  const worker = await startWorker('never');
  expect((await once(worker, 'message'))[0]).toBe('done');
  expect(await settle()).toBe('switched');
  expect(await settle()).toBe('switched');
  expect(await instance.fingerprint()).not.toEqual(before);
  await engine.undo?.undo(instance.connection, id, never);
  expect(await instance.fingerprint()).toEqual(before);
  expect(await settle()).toBe('clean');
});

test.for([0, 2, 8])(
  'promise 3: a server that is killed %i ms after the question comes back with the old data or the new, whole',
  async (delayMs) => {
    const after = await restored();
    const settings = { appendonly: 'yes', appendfsync: 'always' };
    let lasting = await startRedisServer({ settings });
    try {
      const own = await makeRedisInstance(lasting);
      await lasting.run('SET', 'old', 'data');
      await lasting.runIn(4, 'SET', 'more old', 'data');
      const before = await own.fingerprint();
      const { pid } = lasting;
      const beforeSwitch = async () => void setTimeout(() => process.kill(pid, 'SIGKILL'), delayMs);
      const ticket = ticketFor(backup.source, { id, beforeSwitch });
      await engine.restore(own.connection, streamOf(backup.bytes), ticket, never).catch(() => {});
      await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow(), { timeout: 10_000 });
      lasting = await lasting.startAgain();
      const again = await makeRedisInstance(lasting);
      const state = await engine.settleRestore(again.connection, id, never);
      expect(await again.fingerprint()).toEqual(state === 'switched' ? after : before);
      expect(await again.remains()).toEqual([]);
    } finally {
      await lasting.stop();
    }
  },
);

test('somebody empties the server while a restore waits to switch: nothing is switched', async () => {
  const worker = await startWorker('switch');
  await server.run('FLUSHALL');
  await server.run('SET', 'new', 'data');
  const before = await instance.fingerprint();
  const ended = once(worker, 'message');
  worker.send('go');
  expect((await ended)[0]).toBe('failed AttemptSuperseded');
  expect(await instance.fingerprint()).toEqual(before);
});

test('somebody writes into a database that a restore builds in: the restore fails', async () => {
  const worker = await startWorker('bytes');
  await server.runIn(15, 'SET', 'stray', 'key');
  const before = await instance.fingerprint();
  const ended = once(worker, 'message');
  worker.send('go');
  expect((await ended)[0]).toBe('failed InstanceBusy');
  expect(await instance.fingerprint()).toEqual(before);
});

test('an undo that was interrupted behind its switch is finished by the next', async () => {
  const before = await instance.fingerprint();
  await restoreAgain();
  const kept = await keptMarkers();
  await engine.undo?.undo(instance.connection, id, never);
  // As it lies just behind the switch: the restored data is there still, marked as undone.
  for (const { db, text } of kept) {
    await server.runIn(db, 'SET', 'restored', 'data');
    await server.runIn(db, 'SET', markerKey, text.replace('"kept"', '"undone"'));
  }
  await engine.undo?.undo(instance.connection, id, never);
  expect(await instance.fingerprint()).toEqual(before);
  expect(await server.runIn(kept[0]!.db, 'DBSIZE')).toBe(0);
});

test('an undo of which a part was removed does nothing', async () => {
  await restoreAgain();
  const [first] = await keptMarkers();
  await server.runIn(first!.db, 'FLUSHDB');
  const after = await instance.fingerprint();
  await expect(engine.undo?.undo(instance.connection, id, never)).rejects.toMatchObject({
    code: 'UndoUnavailable',
  });
  expect(await instance.fingerprint()).toEqual(after);
});

/** What the backup looks like when it is restored. */
async function restored(): Promise<Record<string, string>> {
  await restoreAgain();
  const found = await instance.fingerprint();
  await engine.undo?.undo(instance.connection, id, never);
  return found;
}

async function keptMarkers(): Promise<{ db: number; text: string }[]> {
  const found: { db: number; text: string }[] = [];
  for (let db = 0; db < 16; db++) {
    const text = await server.runIn(db, 'GET', markerKey);
    if (text !== null) found.push({ db, text: String(text) });
  }
  return found;
}

/** Resolves when the worker waits at the step. */
async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<ChildProcess> {
  const worker = fork(new URL('../restore-worker.ts', import.meta.url), { execArgv: [] });
  workers.push(worker);
  const module = new URL('../../../src/engines/redis/engine.ts', import.meta.url).href;
  const order: WorkerOrder = {
    engine: { module, make: 'createRedisEngine', options: {} },
    connection: instance.connection,
    file: join(folder, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect((await once(worker, 'message'))[0]).toBe(`at ${holdAt}`);
  if (holdAt === 'bytes')
    await vi.waitFor(async () => expect((await instance.remains()).length).toBeGreaterThan(1), {
      timeout: 10_000,
    });
  return worker;
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await server.run('EXISTS', 'written')).toBe(0);
}
