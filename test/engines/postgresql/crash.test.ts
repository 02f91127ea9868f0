import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';
import type { WorkerOrder } from './restore-worker.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;

let instance: PostgresInstance;
let folder: string;
let backup: TakenBackup;
let id: string;
let workers: ChildProcess[] = [];

async function prepare(rights: Rights): Promise<void> {
  instance = await makePostgresInstance(adminUrl, rights);
  await instance.fill('bulk');
  backup = await takeBackup(engine, instance.connection);
  await writeFile(join(folder, 'backup'), backup.bytes);
  await instance.write();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crash-'));
  id = randomUUID();
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

describe.for(['owner', 'no createdb'] as const)('a worker with the rights: %s', (rights) => {
  test.for(['bytes', 'switch'] as const)(
    'is killed at %s: the data stays, and the next attempt restores',
    async (step) => {
      await prepare(rights);
      const before = await instance.fingerprint();
      const worker = await startWorker(step);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      expect(await engine.settleRestore(instance.connection, id, never)).toBe('clean');
      expect(await instance.remains()).toEqual([]);
      expect(await instance.fingerprint()).toEqual(before);
      await instance.write();
      await restoreAgain();
    },
  );

  test.for(['start', 'bytes', 'switch'] as const)(
    'is frozen at %s and wakes when another has restored: it changes nothing',
    async (step) => {
      await prepare(rights);
      const worker = await startWorker(step);
      worker.kill('SIGSTOP');
      expect(await engine.settleRestore(instance.connection, id, never)).toBe('clean');
      expect(await instance.remains()).toEqual([]);
      await restoreAgain();
      await instance.write();
      const after = await instance.fingerprint();

      const ended = nextMessage(worker);
      worker.kill('SIGCONT');
      worker.send('go');
      if (step === 'start') {
        // It was frozen before it had done anything at all: nobody could stop it, so the question before the switch must.
        expect(await ended).toBe('failed AttemptSuperseded');
      } else expect(await ended).toMatch(/^failed (InstanceUnreachable|ToolFailed)/);
      expect(await instance.fingerprint()).toEqual(after);
      await instance.write();
    },
  );
});

test('after a kill behind the switch the restore is known to be done', async () => {
  await prepare('owner');
  const worker = await startWorker('never');
  expect(await nextMessage(worker)).toBe('done');
  expect(await engine.settleRestore(instance.connection, id, never)).toBe('switched');
});

/** Resolves when the worker waits at the step. */
async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<ChildProcess> {
  const worker = fork(new URL('./restore-worker.ts', import.meta.url), { execArgv: [] });
  workers.push(worker);
  const order: WorkerOrder = {
    connection: instance.connection,
    file: join(folder, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect(await nextMessage(worker)).toBe(`at ${holdAt}`);
  if (holdAt === 'bytes')
    await vi.waitFor(async () => expect(await sessions()).toBeGreaterThan(0), {
      interval: 20,
      timeout: 10_000,
    });
  return worker;
}

async function sessions(): Promise<number> {
  return (await instance.remains()).filter((what) => what.startsWith('session')).length;
}

async function nextMessage(worker: ChildProcess): Promise<unknown> {
  return (await once(worker, 'message'))[0];
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  const tables = await instance.admin<{ n: number }>(
    "SELECT count(*)::int AS n FROM pg_class WHERE relname = 'written'",
  );
  expect(tables).toEqual([{ n: 0 }]);
}
