import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createSqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { processesWith } from '../processes.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { makeSqlite, type SqliteInstance } from './instance.ts';

const never = new AbortController().signal;

let root: string;
let engine: ReturnType<typeof createSqliteEngine>;
let instance: SqliteInstance;
let backup: TakenBackup;
let id: string;
let worker: ChildProcess | undefined;

describe.for(['wal', 'delete'] as const)('a worker (journal: %s)', (journal) => {
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'crash-'));
    engine = createSqliteEngine({ roots: [root], forbidden: [] });
    id = randomUUID();
    instance = await makeSqlite((path) => engine.parseConnection({ path }), journal, root);
    await instance.fill('bulk');
    backup = await takeBackup(engine, instance.connection);
    await writeFile(join(root, 'backup'), backup.bytes);
    await instance.write();
  });
  afterEach(async () => {
    worker?.kill('SIGKILL');
    if (worker?.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
    worker = undefined;
    await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
      timeout: 10_000,
      interval: 50,
    });
    await instance.close();
    await rm(root, { recursive: true });
  });

  test.for(['bytes', 'switch'] as const)(
    'is killed at %s: the data stays, and the next attempt restores',
    async (step) => {
      const before = await instance.fingerprint();
      await kill(await startWorker(step));
      expect(await settle()).toBe('clean');
      expect(await instance.remains()).toEqual([]);
      expect(await instance.fingerprint()).toEqual(before);
      await restoreAgain();
    },
  );

  test.for(['start', 'bytes', 'switch'] as const)(
    'is frozen at %s and wakes when another has restored: it changes nothing',
    async (step) => {
      const frozen = await startWorker(step);
      frozen.kill('SIGSTOP');
      expect(await settle()).toBe('clean');
      await restoreAgain();
      await instance.write();
      const after = await instance.fingerprint();
      const ended = once(frozen, 'message');
      frozen.kill('SIGCONT');
      frozen.send('go');
      expect((await ended)[0]).toBe('failed AttemptSuperseded');
      expect(await instance.fingerprint()).toEqual(after);
      expect(await settle()).toBe('switched');
    },
  );

  test.for(['SIGKILL', 'SIGSTOP'] as const)(
    'gets %s while its program waits to make the change: the next attempt ends that program first',
    async (signal) => {
      const before = await instance.fingerprint();
      instance.program('BEGIN IMMEDIATE');
      const held = await startWorker('switch');
      held.send('go');
      await vi.waitFor(() => expect(marked()).not.toEqual([]), { timeout: 10_000 });
      held.kill(signal);
      expect(marked()).not.toEqual([]);
      expect(await settle()).toBe('clean');
      expect(marked()).toEqual([]);
      instance.program('COMMIT');
      expect(await instance.fingerprint()).toEqual(before);
      if (signal === 'SIGSTOP') {
        const ended = once(held, 'message');
        held.kill('SIGCONT');
        expect((await ended)[0]).toBe('failed AttemptSuperseded');
      }
      await restoreAgain();
    },
  );

  test('is killed while its program waits: the program makes the change alone, and that is known', async () => {
    const before = await instance.fingerprint();
    instance.program('BEGIN IMMEDIATE');
    const held = await startWorker('switch');
    held.send('go');
    await vi.waitFor(() => expect(marked()).not.toEqual([]), { timeout: 10_000 });
    await kill(held);
    instance.program('COMMIT');
    await vi.waitFor(() => expect(marked()).toEqual([]), { timeout: 10_000 });
    expect(await settle()).toBe('switched');
    expect(await instance.fingerprint()).not.toEqual(before);
    await engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
    expect(await settle()).toBe('clean');
  });

  test('is killed behind the switch: the restore is known to be done, and can be undone', async () => {
    const before = await instance.fingerprint();
    expect((await once(await startWorker('never'), 'message'))[0]).toBe('done');
    expect(await settle()).toBe('switched');
    await engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
  });
});

const settle = () => engine.settleRestore(instance.connection, id, never);
const marked = () => processesWith(`FORESTAY_SQLITE_RESTORE=${id}`);

async function kill(process: ChildProcess): Promise<void> {
  process.kill('SIGKILL');
  await once(process, 'exit');
}

/** Resolves when the worker waits at the step. */
async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<ChildProcess> {
  worker = fork(new URL('../restore-worker.ts', import.meta.url), { execArgv: [] });
  const module = new URL('../../../src/engines/sqlite/engine.ts', import.meta.url).href;
  const order: WorkerOrder = {
    engine: { module, make: 'createSqliteEngine', options: { roots: [root], forbidden: [] } },
    connection: instance.connection,
    file: join(root, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect((await once(worker, 'message'))[0]).toBe(`at ${holdAt}`);
  // Its file is made while the first bytes are read, and may be late.
  if (holdAt === 'bytes') await vi.waitFor(async () => expect(await instance.remains()).not.toEqual([]));
  return worker;
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await settle()).toBe('switched');
}
