import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createCommandEngine } from '../../../src/engines/command/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { processesWith } from '../processes.ts';
import type { WorkerOrder } from '../restore-worker.ts';
import { fixtureCommands, makeNoted, type NotedFile } from './instance.ts';

const never = new AbortController().signal;
const options = { file: fixtureCommands() };
const engine = createCommandEngine(options);

let instance: NotedFile;
let folder: string;
let backup: TakenBackup;
let id: string;
let worker: ChildProcess;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'crash-'));
  id = randomUUID();
  instance = await makeNoted(engine);
  await instance.fill('bulk');
  backup = await takeBackup(engine, instance.connection);
  await writeFile(join(folder, 'backup'), backup.bytes);
  await instance.write();
});
afterEach(async () => {
  worker.kill('SIGKILL');
  if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
  await instance.close();
  await rm(folder, { recursive: true });
});

test.for(['bytes', 'switch'] as const)(
  'a worker is killed at %s: its command takes that for no permission',
  async (step) => {
    const before = await instance.fingerprint();
    await startWorker(step);
    await expect.poll(() => processesWith(`FORESTAY_RESTORE_ID=${id}`)).not.toEqual([]);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    await expect.poll(() => processesWith(`FORESTAY_RESTORE_ID=${id}`)).toEqual([]);
    expect(await instance.fingerprint()).toEqual(before);
    expect(await settle()).toBe('clean');
    await restoreAgain();
  },
);

test.for(['start', 'bytes', 'switch'] as const)(
  'a worker is frozen at %s and wakes when another has restored: it changes nothing',
  async (step) => {
    await startWorker(step);
    worker.kill('SIGSTOP');
    expect(await settle()).toBe('clean');
    await restoreAgain();
    await instance.write();
    const after = await instance.fingerprint();
    const ended = once(worker, 'message');
    worker.kill('SIGCONT');
    worker.send('go');
    expect((await ended)[0]).toMatch(step === 'start' ? /^failed AttemptSuperseded/ : /^failed ToolFailed/);
    expect(await instance.fingerprint()).toEqual(after);
  },
);

test('a worker is killed behind the switch: the restore is known to be done', async () => {
  const before = await instance.fingerprint();
  await startWorker('never');
  expect((await once(worker, 'message'))[0]).toBe('done');
  expect(await settle()).toBe('switched');
  await engine.undo?.undo(instance.connection, id, never);
  expect(await instance.fingerprint()).toEqual(before);
  expect(await settle()).toBe('clean');
});

const settle = () => engine.settleRestore(instance.connection, id, never);

async function startWorker(holdAt: WorkerOrder['holdAt']): Promise<void> {
  worker = fork(new URL('../restore-worker.ts', import.meta.url), { execArgv: [] });
  const module = new URL('../../../src/engines/command/engine.ts', import.meta.url).href;
  const order: WorkerOrder = {
    engine: { module, make: 'createCommandEngine', options },
    connection: instance.connection,
    file: join(folder, 'backup'),
    source: backup.source,
    id,
    attempt: 1,
    holdAt,
  };
  worker.send(order);
  if (holdAt !== 'never') expect((await once(worker, 'message'))[0]).toBe(`at ${holdAt}`);
}

async function restoreAgain(): Promise<void> {
  const ticket = ticketFor(backup.source, { id, attempt: 2 });
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await settle()).toBe('switched');
}
