import { type Kysely, type Selectable, sql } from 'kysely';
import type { ErrorCode } from '../core/errors.ts';
import type { TaskKind, TaskPhase, TaskStatus } from '../core/task.ts';
import type { Reader, Tables, TaskTable, WriteTransaction } from './schema.ts';
import { isBeingUndone } from './undo.ts';

/** Task rows: the truth about work, whatever a job queue believes. What a worker writes is in `task-attempts.ts`. */

export interface Task {
  readonly id: number;
  readonly kind: TaskKind;
  readonly instanceId: number;
  readonly pool: string;
  readonly status: TaskStatus;
  readonly attempt: number;
  /** How many of the attempts ended only because their worker was stopped. */
  readonly interruptions: number;
  readonly jobId: string;
  readonly phase: TaskPhase | null;
  /** Plaintext bytes that passed so far in this attempt. */
  readonly bytesIn: number;
  /** Stored bytes that passed so far in this attempt. */
  readonly bytesOut: number;
  readonly progressAt: Date | null;
  readonly error: TaskError | null;
  readonly cancelRequestedAt: Date | null;
  readonly triggeredAt: Date;
  readonly startedAt: Date | null;
  readonly statusChangedAt: Date;
}

export interface TaskError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
}

/** The columns of a task under the alias `task`, for joins; `taskOf` turns such a row into a Task. */
export const taskColumns = [
  'task.id as task_id',
  'task.kind',
  'task.instance_id as task_instance_id',
  'task.pool',
  'task.status',
  'task.attempt',
  'task.interruptions',
  'task.job_id',
  'task.phase',
  'task.bytes_in',
  'task.bytes_out',
  'task.progress_at',
  'task.error_code',
  'task.error_message',
  'task.error_hint',
  'task.cancel_requested_at',
  'task.triggered_at',
  'task.started_at',
  'task.status_changed_at',
] as const;

export type TaskColumns = Omit<Selectable<TaskTable>, 'id' | 'instance_id'> & {
  task_id: number;
  task_instance_id: number;
};

export function taskOf(row: TaskColumns): Task {
  return {
    id: row.task_id,
    kind: row.kind,
    instanceId: row.task_instance_id,
    pool: row.pool,
    status: row.status,
    attempt: row.attempt,
    interruptions: row.interruptions,
    jobId: row.job_id,
    phase: row.phase,
    bytesIn: row.bytes_in,
    bytesOut: row.bytes_out,
    progressAt: row.progress_at,
    error:
      row.error_code === null
        ? null
        : { code: row.error_code, message: row.error_message ?? '', hint: row.error_hint },
    cancelRequestedAt: row.cancel_requested_at,
    triggeredAt: row.triggered_at,
    startedAt: row.started_at,
    statusChangedAt: row.status_changed_at,
  };
}

/** The columns that hold a task's error; all null without one. */
export function errorColumns(error: TaskError | null | undefined) {
  return {
    error_code: error?.code ?? null,
    error_message: error?.message ?? null,
    error_hint: error?.hint ?? null,
  };
}

export async function insertTask(
  trx: WriteTransaction,
  task: { kind: TaskKind; instanceId: number; pool: string; jobId: string; triggeredAt: Date },
): Promise<Task> {
  const { id } = await trx
    .insertInto('tasks')
    .values({
      kind: task.kind,
      instance_id: task.instanceId,
      pool: task.pool,
      job_id: task.jobId,
      triggered_at: task.triggeredAt,
      status_changed_at: task.triggeredAt,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return (await findTask(trx, id))!;
}

export async function findTask(db: Reader, id: number): Promise<Task | undefined> {
  const row = await db
    .selectFrom('tasks as task')
    .select(taskColumns)
    .where('task.id', '=', id)
    .executeTakeFirst();
  return row && taskOf(row);
}

/** The task, locked until the transaction ends. */
export async function lockTask(trx: WriteTransaction, id: number): Promise<Task | undefined> {
  const row = await trx
    .selectFrom('tasks as task')
    .select(taskColumns)
    .where('task.id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return row && taskOf(row);
}

/**
 * Whether the task must wait: its instance has a running task, a restore that was asked for earlier, or an undo under way.
 * Copies have nothing to do with the instance: they wait for nobody, and nobody waits for them.
 */
export async function mustWait(trx: WriteTransaction, task: Task): Promise<boolean> {
  if (task.kind === 'copy') return false;
  const other = await trx
    .selectFrom('tasks')
    .select('id')
    .where('instance_id', '=', task.instanceId)
    .where('id', '!=', task.id)
    .where('kind', '!=', 'copy')
    .where((where) =>
      where.or([
        where('status', '=', 'running'),
        where.and([where('status', '=', 'queued'), where('kind', '=', 'restore'), where('id', '<', task.id)]),
      ]),
    )
    .limit(1)
    .executeTakeFirst();
  return other !== undefined || (await isBeingUndone(trx, task.instanceId));
}

/** Hands a locked task to another job without touching its status. */
export async function replaceJob(trx: WriteTransaction, id: number, jobId: string): Promise<void> {
  await trx.updateTable('tasks').set({ job_id: jobId }).where('id', '=', id).execute();
}

/** A locked task that no attempt is working on ends here, whatever its attempt. */
export async function endUnclaimedTask(
  trx: WriteTransaction,
  id: number,
  end: { status: 'failed' | 'deleted'; error?: TaskError | undefined; at: Date },
): Promise<void> {
  await trx
    .updateTable('tasks')
    .set({
      status: end.status,
      phase: null,
      status_changed_at: end.at,
      ...(end.error && errorColumns(end.error)),
    })
    .where('id', '=', id)
    .execute();
}

/** A failed task turned out to have done its work. */
export async function completeTask(trx: WriteTransaction, id: number): Promise<void> {
  await trx
    .updateTable('tasks')
    .set({ status: 'done', ...errorColumns(null) })
    .where('id', '=', id)
    .where('status', '=', 'failed')
    .execute();
}

export async function markCancelRequested(trx: WriteTransaction, id: number, now: Date): Promise<void> {
  await trx
    .updateTable('tasks')
    .set({ cancel_requested_at: now })
    .where('id', '=', id)
    .where('cancel_requested_at', 'is', null)
    .execute();
}

/** The backups and restores of an instance that are queued or running. */
export async function unfinishedTasks(db: Reader, instanceId: number): Promise<Task[]> {
  const rows = await db
    .selectFrom('tasks as task')
    .select(taskColumns)
    .where('task.instance_id', '=', instanceId)
    .where('task.kind', '!=', 'copy')
    .where('task.status', 'in', ['queued', 'running'])
    .orderBy('task.id')
    .execute();
  return rows.map(taskOf);
}

/** A task as somebody saw it who wants to hand it to another job. */
export type HeldTask = Pick<Task, 'id' | 'jobId'>;

/**
 * Unfinished tasks whose job is not alive in the queue: their worker died, or the queue lost the job.
 * Reads pg-boss's table of jobs, whose columns `id` and `state` are documented for such use.
 */
export async function tasksWithoutLiveJob(db: Kysely<Tables>): Promise<HeldTask[]> {
  const { rows } = await sql<HeldTask>`
    select task.id, task.job_id as "jobId" from forestay.tasks task
    where task.status in ('queued', 'running')
      and not exists (
        select from pgboss.job job
        where job.name = 'tasks-' || task.pool and job.id = task.job_id and job.state in ('created', 'retry', 'active')
      )
    order by task.id`.execute(db);
  return rows;
}

/**
 * Unfinished tasks that some process had taken: they say they are running, or their job was fetched and its process died
 * before it could say so. Reads pg-boss's table as above.
 */
export async function takenTasks(db: Kysely<Tables>): Promise<HeldTask[]> {
  const { rows } = await sql<HeldTask>`
    select task.id, task.job_id as "jobId" from forestay.tasks task
    where task.status = 'running' or task.status = 'queued' and exists (
      select from pgboss.job job
      where job.name = 'tasks-' || task.pool and job.id = task.job_id and job.state = 'active'
    )
    order by task.id`.execute(db);
  return rows;
}
