import { randomUUID } from 'node:crypto';
import { type ForestayError, hasCode, toForestayError } from '../core/errors.ts';
import { isFinished, maxAttempts, retryDelaySeconds, waitSeconds } from '../core/task.ts';
import { findBackupByTask } from '../db/backups.ts';
import { lockInstanceById } from '../db/instances.ts';
import { findRestoreByTask, markSettled } from '../db/restores.ts';
import type { WriteTransaction } from '../db/schema.ts';
import { assertHeld, endAttempt, requeueAttempt, startAttempt } from '../db/task-attempts.ts';
import {
  endUnclaimedTask,
  findTask,
  lockTask,
  mustWait,
  replaceJob,
  type Task,
  type TaskError,
} from '../db/tasks.ts';
import { backUp } from './back-up.ts';
import type { Context } from './context.ts';
import { copyBackup } from './copy-backup.ts';
import { discardBackupObjects } from './discard-backup.ts';
import { runRestore, settleFailedRestore } from './run-restore.ts';
import { watchAttempt } from './running-attempt.ts';

/** What clean-up after a failure may take, in milliseconds; what it does not manage the sweep does. */
const cleanUpMs = 60_000;

/**
 * What a worker does with a job: claims the task for a new attempt, runs it, and writes how it ended. What went wrong in
 * the task is in its row; what this throws is trouble with the database. `signal` aborts when the worker stops; the task
 * then goes back to the queue.
 */
export async function runTask(
  context: Context,
  job: { taskId: number; jobId: string },
  signal: AbortSignal,
): Promise<void> {
  const task = await claim(context, job);
  if (!task) return;
  const about = { task_id: task.id, kind: task.kind, attempt: task.attempt };
  context.log.info(about, 'task started');
  try {
    await using run = watchAttempt(context.db, task, signal);
    await workOf[task.kind](context, run);
    context.log.info(about, 'task done');
  } catch (thrown) {
    if (hasCode(thrown, 'AttemptSuperseded')) {
      // Nothing is cleaned up here: the new attempt did that, and may have found what this one made to be whole.
      context.log.warn(about, 'another worker has taken this task over');
      return;
    }
    await settleFailure(context, task, thrown, signal.aborted);
  }
}

const workOf = { backup: backUp, restore: runRestore, copy: copyBackup } as const;

/** Only the job that the task names may claim it, and only when no other task of the instance is in its way. */
async function claim(context: Context, job: { taskId: number; jobId: string }): Promise<Task | undefined> {
  return context.db.transaction().execute(async (trx) => {
    const seen = await findTask(trx, job.taskId);
    // The instance first, then the task: everybody locks in this order.
    if (seen) await lockInstanceById(trx, seen.instanceId);
    const task = await lockTask(trx, job.taskId);
    if (!task || task.jobId !== job.jobId || isFinished(task.status)) return undefined;
    const at = new Date();
    if (!mayTryAgain(task)) {
      await endUnclaimedTask(trx, task.id, { status: 'failed', error: task.error ?? workerLost, at });
      return undefined;
    }
    if (await mustWait(trx, task)) {
      const jobId = randomUUID();
      await replaceJob(trx, task.id, jobId);
      const delaySeconds = waitSeconds((at.getTime() - task.statusChangedAt.getTime()) / 1000);
      await context.jobs.send(trx, { pool: task.pool, jobId, taskId: task.id, delaySeconds });
      return undefined;
    }
    return startAttempt(trx, task.id, at);
  });
}

function mayTryAgain(task: Task): boolean {
  return task.attempt - task.interruptions < maxAttempts;
}

/** Back to the queue when the worker stops or when trying again may help; failed otherwise, with everything removed. */
async function settleFailure(
  context: Context,
  task: Task,
  thrown: unknown,
  stopping: boolean,
): Promise<void> {
  const error = toForestayError(thrown);
  const about = { task_id: task.id, kind: task.kind, attempt: task.attempt, code: error.code };
  try {
    // A worker that was frozen may be here without the task being its own any more.
    await assertHeld(context.db, task);
    const left = await settleRestoreIfAny(context, task);
    if (left === 'done') {
      context.log.warn(
        { ...about, err: error },
        'the restore had switched before its attempt failed: it is done',
      );
      return;
    }
    const again = stopping || (error.retryable && mayTryAgain(task));
    const message = stopping
      ? 'task interrupted, the worker stops'
      : again
        ? 'attempt failed, will be tried again'
        : 'task failed';
    context.log[again ? 'warn' : 'error']({ ...about, err: error }, message);
    await context.db.transaction().execute(async (trx) => {
      if (again) await requeue(context, trx, task, stopping ? undefined : error);
      else await fail(trx, task, error, left === 'clean');
    });
    if (!again && task.kind === 'backup') await removeObjects(context, task);
  } catch (settling) {
    // The task is another worker's, or the database is away: then the row still says running, and will be taken over.
    context.log.warn({ ...about, err: error }, 'attempt failed, and its end could not be written');
    context.log.warn({ ...about, err: settling }, 'this is why it could not be written');
  }
}

async function settleRestoreIfAny(context: Context, task: Task): Promise<'done' | 'clean' | 'unknown'> {
  if (task.kind !== 'restore') return 'clean';
  try {
    return await settleFailedRestore(context, task, AbortSignal.timeout(cleanUpMs));
  } catch (error) {
    if (hasCode(error, 'AttemptSuperseded')) throw error;
    // Not settled: the next attempt, or the sweep, comes back to it.
    context.log.warn({ task_id: task.id, err: error }, 'staging of the restore could not be removed yet');
    return 'unknown';
  }
}

async function requeue(
  context: Context,
  trx: WriteTransaction,
  task: Task,
  error: ForestayError | undefined,
): Promise<void> {
  const jobId = randomUUID();
  await requeueAttempt(trx, task, { jobId, error: error ? describe(error) : null, at: new Date() });
  const delaySeconds = error ? retryDelaySeconds(task.attempt) : 0;
  await context.jobs.send(trx, { pool: task.pool, jobId, taskId: task.id, delaySeconds });
}

async function fail(
  trx: WriteTransaction,
  task: Task,
  error: ForestayError,
  settled: boolean,
): Promise<void> {
  await endAttempt(trx, task, { status: 'failed', error: describe(error), at: new Date() });
  const restore = settled && task.kind === 'restore' ? await findRestoreByTask(trx, task.id) : undefined;
  if (restore) await markSettled(trx, restore.id);
}

async function removeObjects(context: Context, task: Task): Promise<void> {
  try {
    const backup = (await findBackupByTask(context.db, task.id))!;
    await discardBackupObjects(context, backup, AbortSignal.timeout(cleanUpMs));
  } catch (error) {
    context.log.warn(
      { task_id: task.id, err: error },
      'what the attempt left in the store could not be removed yet',
    );
  }
}

const workerLost: TaskError = {
  code: 'WorkerLost',
  message: `After ${maxAttempts} attempts, whose workers died or were stopped, it is not tried again.`,
  hint: 'Start it again. An operator finds the reason in the log of the workers; often it is memory, or restarts.',
};

function describe(error: ForestayError): TaskError {
  return { code: error.code, message: error.message, hint: error.hint ?? null };
}
