import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { type FolderInstance, makeFolder } from './instance.ts';

const never = new AbortController().signal;

let instance: FolderInstance;
let folder: string;
let backup: TakenBackup;
let id: string;
let workers: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crash-'));
  id = randomUUID();
  workers = [];
});
afterEach(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  await Promise.all(workers.map((worker) => worker.exitCode ?? worker.signalCode ?? once(worker, 'exit')));
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
  await instance.close();
  await rm(folder, { recursive: true });
});

const settle = () => instance.engine.settleRestore(instance.connection, id, never);
const containerOf = (suffix: string) =>
  join(instance.root, `.forestay-restore-${id.replaceAll('-', '')}-${suffix}`);

describe.for([undefined, 'no-such-perl'])('a worker (perl: %s)', (perl) => {
  beforeEach(async () => {
    instance = await makeFolder(perl ? { programs: { perl } } : {});
    await instance.fill('bulk');
    backup = await takeBackup(instance.engine, instance.connection);
    await writeFile(join(folder, 'backup'), backup.bytes);
    await instance.write();
  });

  test.for(['bytes', 'switch'] as const)(
    'is killed at %s: the data stays, and the next attempt restores',
    async (step) => {
      const before = await instance.fingerprint();
      const worker = await startWorker(step);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      expect(await settle()).toBe('clean');
      await expect.poll(() => instance.remains()).toEqual([]);
      expect(await instance.fingerprint()).toEqual(before);
      await restoreAgain();
    },
  );

  test.for(['start', 'bytes', 'switch'] as const)(
    'is frozen at %s and wakes when another has restored: it changes nothing',
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
      expect((await ended)[0]).toMatch(
        step === 'bytes' ? /^failed (ToolFailed|InstanceBusy)/ : /^failed AttemptSuperseded/,
      );
      expect(await instance.fingerprint()).toEqual(after);
      expect(await settle()).toBe('switched');
    },
  );

  test('is killed between the switch and the word of it: the restore is known to be done, and can be undone', async () => {
    const before = await instance.fingerprint();
    const worker = await startWorker('never');
    expect((await once(worker, 'message'))[0]).toBe('done');
    const after = await instance.fingerprint();
    await rename(containerOf('before'), containerOf('a1'));
    expect(await settle()).toBe('switched');
    expect(await settle()).toBe('switched');
    expect(await instance.fingerprint()).toEqual(after);
    await instance.engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
    expect(await settle()).toBe('clean');
  });

  test('is killed within an undo: the next undo goes on from there', async () => {
    const before = await instance.fingerprint();
    await restoreAgain();
    const kept = join(containerOf('before'), 'data');
    await rename(instance.path, join(folder, 'aside'));
    await rename(kept, instance.path);
    await rename(join(folder, 'aside'), kept);
    await instance.engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
    expect(existsSync(containerOf('before'))).toBe(false);
  });

  test('finds that somebody removed the folder: an undo brings it back', async () => {
    const before = await instance.fingerprint();
    await restoreAgain();
    await rm(instance.path, { recursive: true });
    await instance.engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
  });
});

describe('where a switch takes two renames, a crash', () => {
  beforeEach(async () => {
    instance = await makeFolder({ programs: { perl: 'no-such-perl' } });
    await instance.fill('bulk');
    backup = await takeBackup(instance.engine, instance.connection);
    await instance.write();
  });

  test('between the two is mended: the old folder comes back', async () => {
    const before = await instance.fingerprint();
    await stage();
    await rename(instance.path, join(containerOf('a1'), 'aside'));
    expect(await settle()).toBe('clean');
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('between the two is mended even when the service made an empty folder meanwhile', async () => {
    const before = await instance.fingerprint();
    await stage();
    await rename(instance.path, join(containerOf('a1'), 'aside'));
    await mkdir(instance.path);
    expect(await settle()).toBe('clean');
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('after the two is known as a restore that is done', async () => {
    const before = await instance.fingerprint();
    await stage();
    await rename(instance.path, join(containerOf('a1'), 'aside'));
    await rename(join(containerOf('a1'), 'data'), instance.path);
    expect(await settle()).toBe('switched');
    await instance.engine.undo?.undo(instance.connection, id, never);
    expect(await instance.fingerprint()).toEqual(before);
  });

  /** Leaves the first attempt staged, as a process does that dies just before the switch. */
  async function stage(): Promise<void> {
    await writeFile(join(folder, 'backup'), backup.bytes);
    const worker = await startWorker('switch');
    worker.kill('SIGKILL');
    await once(worker, 'exit');
  }
});

/** Resolves when the worker waits at the step. */
async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<ChildProcess> {
  const worker = fork(new URL('../restore-worker.ts', import.meta.url), { execArgv: [] });
  workers.push(worker);
  const module = new URL('../../../src/engines/files/engine.ts', import.meta.url).href;
  const order: WorkerOrder = {
    engine: { module, make: 'createFilesEngine', options: instance.options },
    connection: instance.connection,
    file: join(folder, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect((await once(worker, 'message'))[0]).toBe(`at ${holdAt}`);
  return worker;
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await instance.engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(existsSync(join(instance.path, 'written'))).toBe(false);
}
