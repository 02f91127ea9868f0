import { randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { findTask, lockTask, replaceJob } from '../../src/db/tasks.ts';
import { adoptOrphanedTasks } from '../../src/jobs/worker.ts';
import { cancelBackup, cancelRestore } from '../../src/operations/cancel.ts';
import { deleteBackup } from '../../src/operations/delete-backup.ts';
import { expire } from '../../src/operations/expire.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { runTask } from '../../src/operations/run-task.ts';
import { orphanAgeMs, sweep } from '../../src/operations/sweep.ts';
import { undoRestore } from '../../src/operations/undo-restore.ts';
import { faultyStore, type StoreFaults } from '../support/faulty-store.ts';
import { backupEnds, makeTestSite, never, restoreEnds, type TestSite, until } from '../support/test-site.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

let site: TestSite;
const faults: StoreFaults = {};

beforeAll(async () => {
  site = await makeTestSite({
    wrapStore: faultyStore(faults),
    retention: { minBackupCount: 1, retentionDays: 30 },
  });
});
afterEach(() => {
  for (const key of Object.keys(faults)) delete faults[key as keyof StoreFaults];
  for (const key of Object.keys(site.engine.faults))
    delete site.engine.faults[key as keyof typeof site.engine.faults];
});
afterAll(() => site[Symbol.asyncDispose]());

/** A door that a test holds shut: whoever comes to it waits. */
function door() {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  return {
    async pass() {
      reached.resolve();
      await opened.promise;
    },
    reached: reached.promise,
    open: opened.resolve,
  };
}

/** Every object in the store, and what an engine left beside the instances. */
async function objects(): Promise<string[]> {
  const names = await readdir(site.storeRoot, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.forestay'))
    .map((entry) => path.join(entry.parentPath, entry.name));
}
const objectsOf = async (backupId: string) =>
  (await objects())
    .filter((name) => name.includes(backupId))
    .map((name) => path.basename(name))
    .sort();
const staged = async (file: string) =>
  (await readdir(path.dirname(file))).filter((name) => name.startsWith(`${path.basename(file)}.`));

const taskOfBackup = (id: number) =>
  site.context.db
    .selectFrom('backups')
    .select(['task_id', 'backup_id'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
const taskOfRestore = (id: number) =>
  site.context.db.selectFrom('restores').select('task_id').where('id', '=', id).executeTakeFirstOrThrow();

/** Runs the task once, with the job that it names, as a worker would. */
async function work(taskId: number, signal = never): Promise<void> {
  const task = (await findTask(site.context.db, taskId))!;
  await runTask(site.context, { taskId, jobId: task.jobId }, signal);
}

/** What happens when the heartbeats of a worker have stopped: the task gets another job. */
async function giveToAnother(taskId: number): Promise<void> {
  await site.context.db.transaction().execute(async (trx) => {
    await lockTask(trx, taskId);
    await replaceJob(trx, taskId, randomUUID());
  });
}

async function newBackup(content: string | Buffer = 'good data') {
  const instance = await site.addInstance(content);
  const { id } = await requestBackup(site.context, instance.guid);
  const { task_id: taskId, backup_id: backupId } = await taskOfBackup(id);
  return { ...instance, id, taskId, backupId };
}

async function doneBackup(content: string | Buffer = 'good data') {
  const backup = await newBackup(content);
  await work(backup.taskId);
  expect((await backupEnds(site.context, backup.id)).task.status).toBe('done');
  return backup;
}

async function newRestore(backup: { guid: string; id: number }) {
  const { id } = await requestRestore(site.context, backup.guid, backup.id);
  return { restoreId: id, restoreTask: (await taskOfRestore(id)).task_id };
}

describe('promise 1: done means restorable', () => {
  test('a source that fails after its last byte makes no backup, and leaves nothing in the store', async () => {
    const backup = await newBackup();
    site.engine.faults.onBackUp = async () =>
      Readable.from(
        (async function* () {
          yield randomBytes(3_000_000);
          throw new ForestayError('ToolFailed', 'cat exited with code 3', { hint: 'Look at the disk.' });
        })(),
      );
    await work(backup.taskId);
    const { task } = await backupEnds(site.context, backup.id);
    expect(task).toMatchObject({
      status: 'failed',
      error: { code: 'ToolFailed', hint: 'Look at the disk.' },
    });
    expect(await objectsOf(backup.backupId)).toEqual([]);
  });

  test('a store that holds fewer bytes than were sent makes no backup', async () => {
    const backup = await newBackup();
    faults.onHead = (_key, size) => size - 1;
    await work(backup.taskId);
    const task = (await findTask(site.context.db, backup.taskId))!;
    expect(task).toMatchObject({ status: 'queued', error: { code: 'StoreUnavailable' } });
    delete faults.onHead;
    await work(backup.taskId);
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
    expect(await objectsOf(backup.backupId)).toEqual(['data-2', 'manifest.json']);
  });

  test('while the manifest is not there the backup is not done', async () => {
    const backup = await newBackup();
    const shut = door();
    faults.beforePut = (key) => (key.endsWith('manifest.json') ? shut.pass() : Promise.resolve());
    const working = work(backup.taskId);
    await shut.reached;
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('running');
    expect(await objectsOf(backup.backupId)).toEqual(['data']);
    shut.open();
    await working;
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
  });

  test('an error that may pass is tried again, at most five times, and then says why', async () => {
    const backup = await newBackup();
    let puts = 0;
    faults.beforePut = async () => {
      puts += 1;
      throw new ForestayError('StoreUnavailable', 'The store is on holiday.');
    };
    for (let attempt = 1; attempt <= 5; attempt++) await work(backup.taskId);
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({
      status: 'failed',
      attempt: 5,
      error: { code: 'StoreUnavailable', message: 'The store is on holiday.' },
    });
    expect(puts).toBe(5);
  });
});

describe('promise 3: a failed restore leaves the instance as it was', () => {
  test('when the engine fails before the switch', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreTask } = await newRestore(backup);
    site.engine.faults.onStaged = async () => {
      throw new ForestayError('InstanceFull', 'The disk of the instance is full.');
    };
    await work(restoreTask);
    expect(await findTask(site.context.db, restoreTask)).toMatchObject({
      status: 'failed',
      error: { code: 'InstanceFull' },
    });
    expect(await readFile(backup.file, 'utf8')).toBe('new');
    expect(await staged(backup.file)).toEqual([]);
  });

  test('when it is cancelled while it is staged, before the switch', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreId, restoreTask } = await newRestore(backup);
    const shut = door();
    site.engine.faults.onStaged = () => shut.pass();
    const working = work(restoreTask);
    await shut.reached;
    await cancelRestore(site.context, backup.guid, restoreId);
    shut.open();
    await working;
    expect(await findTask(site.context.db, restoreTask)).toMatchObject({
      status: 'failed',
      error: { code: 'Canceled' },
    });
    expect(await readFile(backup.file, 'utf8')).toBe('new');
    expect(await staged(backup.file)).toEqual([]);
  });
});

describe('promise 4: a crash anywhere leaves no false done, no lost done, nothing stuck', () => {
  test('a backup whose worker dies after the manifest is found done by the next, without reading the source again', async () => {
    const backup = await newBackup();
    faults.afterPut = async (key) => {
      if (key.endsWith('manifest.json')) throw new ForestayError('StoreUnavailable', 'the worker died here');
    };
    await work(backup.taskId);
    delete faults.afterPut;
    site.engine.faults.onBackUp = async () => {
      throw new Error('the source was read again');
    };
    await work(backup.taskId);
    expect(await backupEnds(site.context, backup.id)).toMatchObject({
      dataName: 'data',
      task: { status: 'done', attempt: 2 },
    });
    expect(await objectsOf(backup.backupId)).toEqual(['data', 'manifest.json']);
  });

  test('a restore whose worker dies after the switch is found done by the next, and is not made twice', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreTask, restoreId } = await newRestore(backup);
    site.engine.faults.onSwitched = async () => {
      throw new ForestayError('InstanceUnreachable', 'the connection broke just then');
    };
    await work(restoreTask);
    expect((await restoreEnds(site.context, restoreId)).task).toMatchObject({ status: 'done', error: null });
    expect(await readFile(backup.file, 'utf8')).toBe('old');
  });

  const frozenAt: { where: string; arrange: (shut: ReturnType<typeof door>) => void }[] = [
    {
      where: 'while it reads the source',
      arrange: (shut) => {
        let first = true;
        site.engine.faults.onBackUp = async () => {
          if (!first) return undefined;
          first = false;
          await shut.pass();
          return undefined;
        };
      },
    },
    {
      where: 'after its data is stored',
      arrange: (shut) => {
        faults.afterPut = async (key) => {
          if (key.endsWith('/data')) await shut.pass();
        };
      },
    },
    {
      where: 'just before its manifest is written',
      arrange: (shut) => {
        let first = true;
        faults.beforePut = async (key) => {
          if (!key.endsWith('manifest.json') || !first) return;
          first = false;
          await shut.pass();
        };
      },
    },
  ];
  test.each(frozenAt)(
    'a worker that is frozen $where and wakes after another took over changes nothing',
    async ({ arrange }) => {
      const backup = await newBackup('first content');
      const shut = door();
      arrange(shut);
      const frozen = work(backup.taskId);
      await shut.reached;
      await giveToAnother(backup.taskId);
      await writeFile(backup.file, 'second content');
      await work(backup.taskId);
      const done = await backupEnds(site.context, backup.id);
      expect(done).toMatchObject({ dataName: 'data-2', task: { status: 'done', attempt: 2 } });
      const manifest = await readFile(
        (await objects()).find((name) => name.includes(backup.backupId) && name.endsWith('json'))!,
        'utf8',
      );
      shut.open();
      await frozen;
      expect(
        await readFile(
          (await objects()).find((name) => name.includes(backup.backupId) && name.endsWith('json'))!,
          'utf8',
        ),
      ).toBe(manifest);
      expect(await backupEnds(site.context, backup.id)).toMatchObject({
        dataName: 'data-2',
        task: { status: 'done', attempt: 2 },
      });
      // What the frozen one may have written after all goes with the sweep.
      await sweep(site.context, new Date(Date.now() + orphanAgeMs + 1000), never);
      expect(await objectsOf(backup.backupId)).toEqual(['data-2', 'manifest.json']);
      const { restoreTask } = await newRestore(backup);
      await work(restoreTask);
      expect(await readFile(backup.file, 'utf8')).toBe('second content');
    },
  );

  test('a worker that is frozen before the switch of a restore and wakes after another took over changes nothing', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreTask } = await newRestore(backup);
    const shut = door();
    let first = true;
    site.engine.faults.onStaged = async () => {
      if (!first) return;
      first = false;
      await shut.pass();
    };
    const frozen = work(restoreTask);
    await shut.reached;
    await giveToAnother(restoreTask);
    await work(restoreTask);
    expect(await readFile(backup.file, 'utf8')).toBe('old');
    await writeFile(backup.file, 'written after the restore');
    shut.open();
    await frozen;
    expect(await readFile(backup.file, 'utf8')).toBe('written after the restore');
    expect(await findTask(site.context.db, restoreTask)).toMatchObject({ status: 'done', attempt: 2 });
  });

  test('a job that the task does not name any more claims nothing', async () => {
    const backup = await newBackup();
    const { jobId } = (await findTask(site.context.db, backup.taskId))!;
    await giveToAnother(backup.taskId);
    await runTask(site.context, { taskId: backup.taskId, jobId }, never);
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({ status: 'queued', attempt: 0 });
    await cancelBackup(site.context, backup.guid, backup.id);
  });

  test('a task whose job is lost gets another', async () => {
    const backup = await newBackup();
    const lost = randomUUID();
    await site.context.db
      .updateTable('tasks')
      .set({ job_id: lost })
      .where('id', '=', backup.taskId)
      .execute();
    await adoptOrphanedTasks(site.context);
    const task = (await findTask(site.context.db, backup.taskId))!;
    expect(task.jobId).not.toBe(lost);
    await work(backup.taskId);
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
  });

  test('a task whose workers died five times fails and says so; the sweep removes what they left', async () => {
    const backup = await newBackup();
    await site.context.db
      .updateTable('tasks')
      .set({ attempt: 5, status: 'running' })
      .where('id', '=', backup.taskId)
      .execute();
    const [store] = site.context.stores;
    const folder = `${backup.backupId.slice(0, 36)}/${backup.backupId}`;
    async function* some() {
      yield Buffer.from('left behind');
    }
    for (const name of ['data', 'data-5']) await store.put(`${folder}/${name}`, some(), { signal: never });
    await store.put(`${folder}/notes.txt`, some(), { signal: never });
    await work(backup.taskId);
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({
      status: 'failed',
      error: { code: 'WorkerLost' },
    });
    await sweep(site.context, new Date(), never);
    expect(await objectsOf(backup.backupId)).toEqual(['data', 'data-5', 'notes.txt']);
    await sweep(site.context, new Date(Date.now() + orphanAgeMs + 1000), never);
    expect(await objectsOf(backup.backupId)).toEqual(['notes.txt']);
    await store.delete([`${folder}/notes.txt`], never);
  });

  test('staging that could not be removed when the restore failed goes with the sweep', async () => {
    const backup = await doneBackup('old');
    const { restoreTask, restoreId } = await newRestore(backup);
    const { ticket_id: ticketId } = await site.context.db
      .selectFrom('restores')
      .select('ticket_id')
      .where('id', '=', restoreId)
      .executeTakeFirstOrThrow();
    await site.context.db
      .updateTable('tasks')
      .set({ attempt: 5, status: 'running' })
      .where('id', '=', restoreTask)
      .execute();
    await writeFile(`${backup.file}.${ticketId}.5`, 'left behind');
    await work(restoreTask);
    expect((await findTask(site.context.db, restoreTask))!.status).toBe('failed');
    await sweep(site.context, new Date(), never);
    expect(await staged(backup.file)).toEqual([]);
  });

  test('a worker that stops puts its task back, and the next one finishes it', async () => {
    const backup = await newBackup();
    const stop = new AbortController();
    const shut = door();
    site.engine.faults.onBackUp = async (signal) => {
      await Promise.race([
        shut.pass(),
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      ]);
      return undefined;
    };
    const working = work(backup.taskId, stop.signal);
    await shut.reached;
    stop.abort(new Error('the worker stops'));
    await working;
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({ status: 'queued', error: null });
    delete site.engine.faults.onBackUp;
    await work(backup.taskId);
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
  });
});

describe('a task', () => {
  test('is tried again when the database of the service was away for a moment', async () => {
    const backup = await newBackup();
    site.engine.faults.onBackUp = async () => {
      throw Object.assign(new Error('terminating connection due to administrator command'), {
        code: '57P01',
      });
    };
    await work(backup.taskId);
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({
      status: 'queued',
      error: { code: 'DatabaseUnavailable' },
    });
    delete site.engine.faults.onBackUp;
    await work(backup.taskId);
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
  });

  test('outlives any number of workers that are stopped in order', async () => {
    const backup = await newBackup();
    site.engine.faults.onBackUp = async (signal) => {
      throw signal.reason;
    };
    for (let stop = 0; stop < 7; stop++)
      await work(backup.taskId, AbortSignal.abort(new Error('the worker stops')));
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({
      status: 'queued',
      attempt: 7,
      interruptions: 7,
    });
    delete site.engine.faults.onBackUp;
    await work(backup.taskId);
    expect((await findTask(site.context.db, backup.taskId))!.status).toBe('done');
  });
});

describe('an undo', () => {
  test('holds off tasks of its instance, a second undo and the sweep, and nobody else', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreId, restoreTask } = await newRestore(backup);
    await work(restoreTask);
    const shut = door();
    site.engine.faults.onUndo = () => shut.pass();
    const undoing = undoRestore(site.context, backup.guid, restoreId, never);
    await shut.reached;
    const { id } = await requestBackup(site.context, backup.guid);
    const { task_id: waiting } = await taskOfBackup(id);
    await work(waiting);
    expect(await findTask(site.context.db, waiting)).toMatchObject({ status: 'queued', attempt: 0 });
    await expect(undoRestore(site.context, backup.guid, restoreId, never)).rejects.toMatchObject({
      code: 'InstanceBusy',
    });
    await sweep(site.context, new Date(Date.now() + 2 * orphanAgeMs), never);
    expect((await doneBackup()).guid).not.toBe(backup.guid);
    shut.open();
    await undoing;
    expect(await readFile(backup.file, 'utf8')).toBe('new');
    await work(waiting);
    expect((await findTask(site.context.db, waiting))!.status).toBe('done');
  });

  test('that fails may be tried again', async () => {
    const backup = await doneBackup('old');
    await writeFile(backup.file, 'new');
    const { restoreId, restoreTask } = await newRestore(backup);
    await work(restoreTask);
    site.engine.faults.onUndo = async () => {
      throw new ForestayError('InstanceUnreachable', 'The server does not answer.');
    };
    await expect(undoRestore(site.context, backup.guid, restoreId, never)).rejects.toMatchObject({
      code: 'InstanceUnreachable',
    });
    delete site.engine.faults.onUndo;
    await undoRestore(site.context, backup.guid, restoreId, never);
    expect(await readFile(backup.file, 'utf8')).toBe('new');
  });
});

describe('promise 9: retention never removes the last good backup, nor one that a restore is using', () => {
  test('of three old backups the newest and the one in use stay', async () => {
    const first = await doneBackup();
    const ids = [first.id];
    for (let more = 0; more < 2; more++) {
      const { id } = await requestBackup(site.context, first.guid);
      await work((await taskOfBackup(id)).task_id);
      ids.push(id);
    }
    const inTwoMonths = new Date(Date.now() + 60 * 86_400_000);
    const { restoreId } = await newRestore({ guid: first.guid, id: ids[0]! });
    await expire(site.context, inTwoMonths, never);
    const statuses = async () =>
      Promise.all(
        ids.map(async (id) => (await findTask(site.context.db, (await taskOfBackup(id)).task_id))!.status),
      );
    expect(await statuses()).toEqual(['done', 'deleted', 'done']);
    await expect(deleteBackup(site.context, first.guid, ids[0]!, never)).rejects.toMatchObject({
      code: 'BackupInUse',
    });
    await cancelRestore(site.context, first.guid, restoreId);
    await expire(site.context, inTwoMonths, never);
    expect(await statuses()).toEqual(['deleted', 'deleted', 'done']);
    expect(await objectsOf((await taskOfBackup(ids[0]!)).backup_id)).toEqual([]);
    expect(await objectsOf((await taskOfBackup(ids[2]!)).backup_id)).toEqual(['data', 'manifest.json']);
  });
});

describe('tasks of one instance', () => {
  test('run one at a time: a backup waits while the instance is being restored', async () => {
    const backup = await doneBackup('old');
    const { restoreTask } = await newRestore(backup);
    const shut = door();
    site.engine.faults.onStaged = () => shut.pass();
    const restoring = work(restoreTask);
    await shut.reached;
    const { id } = await requestBackup(site.context, backup.guid);
    const { task_id: second } = await taskOfBackup(id);
    await work(second);
    expect(await findTask(site.context.db, second)).toMatchObject({ status: 'queued', attempt: 0 });
    await expect(requestRestore(site.context, backup.guid, backup.id)).rejects.toMatchObject({
      code: 'RestoreInProgress',
    });
    shut.open();
    await restoring;
    await work(second);
    expect((await findTask(site.context.db, second))!.status).toBe('done');
  });

  test('a running backup is cancelled within seconds, and nothing of it stays', async () => {
    const backup = await newBackup();
    site.engine.faults.onBackUp = async (signal) =>
      Readable.from(
        (async function* () {
          while (!signal.aborted) {
            yield randomBytes(1000);
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
        })(),
      );
    const working = work(backup.taskId);
    await until('some bytes', async () =>
      (await findTask(site.context.db, backup.taskId))!.bytesIn > 0 ? true : undefined,
    );
    await cancelBackup(site.context, backup.guid, backup.id);
    await working;
    expect(await findTask(site.context.db, backup.taskId)).toMatchObject({
      status: 'failed',
      error: { code: 'Canceled' },
    });
    expect(await objectsOf(backup.backupId)).toEqual([]);
  });
});
