import type { Kysely } from 'kysely';
import { ForestayError } from '../core/errors.ts';
import type { TaskPhase } from '../core/task.ts';
import type { Reader, Tables, WriteTransaction } from './schema.ts';
import { errorColumns, findTask, type Task, type TaskError } from './tasks.ts';

/**
 * What a worker writes about the attempt it claimed. Every write is fenced: it names its attempt, and changes nothing when
 * that is not the current one any more.
 */

/** Starts the next attempt of a locked task. */
export async function startAttempt(trx: WriteTransaction, id: number, now: Date): Promise<Task> {
  await trx
    .updateTable('tasks')
    .set((set) => ({
      status: 'running',
      attempt: set('attempt', '+', 1),
      phase: 'preparing',
      bytes_in: 0,
      bytes_out: 0,
      progress_at: now,
      started_at: now,
      status_changed_at: now,
      ...errorColumns(null),
    }))
    .where('id', '=', id)
    .execute();
  return (await findTask(trx, id))!;
}

/** Which attempt is writing. */
type Fence = Pick<Task, 'id' | 'attempt'>;

/** Writes progress; tells whether a cancel was asked for. Throws `AttemptSuperseded` when the attempt is not the current one. */
export async function writeProgress(
  db: Kysely<Tables>,
  fence: Fence,
  progress: { phase: TaskPhase; bytesIn: number; bytesOut: number; now: Date },
): Promise<{ cancelRequested: boolean }> {
  const row = await db
    .updateTable('tasks')
    .set({
      phase: progress.phase,
      bytes_in: progress.bytesIn,
      bytes_out: progress.bytesOut,
      progress_at: progress.now,
    })
    .where('id', '=', fence.id)
    .where('attempt', '=', fence.attempt)
    .where('status', '=', 'running')
    .returning('cancel_requested_at')
    .executeTakeFirst();
  if (!row) throw superseded(fence);
  return { cancelRequested: row.cancel_requested_at !== null };
}

/** The end of an attempt. Throws `AttemptSuperseded` when it is not the current one, so that the transaction changes nothing. */
export async function endAttempt(
  trx: WriteTransaction,
  fence: Fence,
  end: { status: 'done' | 'failed'; error?: TaskError | undefined; at: Date },
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('tasks')
    .set({
      status: end.status,
      phase: null,
      status_changed_at: end.at,
      ...errorColumns(end.error),
    })
    .where('id', '=', fence.id)
    .where('attempt', '=', fence.attempt)
    .where('status', '=', 'running')
    .executeTakeFirstOrThrow();
  if (numUpdatedRows === 0n) throw superseded(fence);
}

/**
 * Back to the queue, to be claimed by another job; the error of the attempt stays visible meanwhile. Without an error it was
 * interrupted.
 */
export async function requeueAttempt(
  trx: WriteTransaction,
  fence: Fence,
  requeue: { jobId: string; error: TaskError | null; at: Date },
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('tasks')
    .set((set) => ({
      status: 'queued',
      phase: null,
      job_id: requeue.jobId,
      status_changed_at: requeue.at,
      interruptions: set('interruptions', '+', requeue.error ? 0 : 1),
      ...errorColumns(requeue.error),
    }))
    .where('id', '=', fence.id)
    .where('attempt', '=', fence.attempt)
    .where('status', '=', 'running')
    .executeTakeFirstOrThrow();
  if (numUpdatedRows === 0n) throw superseded(fence);
}

/** Throws `AttemptSuperseded` unless the attempt is still the current one. */
export async function assertHeld(db: Reader, fence: Fence): Promise<void> {
  const current = await findTask(db, fence.id);
  if (current?.status !== 'running' || current.attempt !== fence.attempt) throw superseded(fence);
}

function superseded(fence: Fence): ForestayError {
  return new ForestayError(
    'AttemptSuperseded',
    `Attempt ${fence.attempt} of task ${fence.id} is not the current one any more.`,
  );
}
