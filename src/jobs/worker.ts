import { randomUUID } from 'node:crypto';
import type { PgBoss } from 'pg-boss';
import { isFinished } from '../core/task.ts';
import { type HeldTask, lockTask, replaceJob, takenTasks, tasksWithoutLiveJob } from '../db/tasks.ts';
import type { Context } from '../operations/context.ts';
import { runTask } from '../operations/run-task.ts';
import { prepareQueue, queueOf, superviseSeconds, type TaskJob } from './queue.ts';

/** Takes tasks of one pool from the queue, `concurrency` at once, until closed. */
export interface Worker {
  /** Interrupts what runs, which goes back to the queue, and waits until it has. */
  close(): Promise<void>;
}

export async function startWorker(
  context: Context,
  boss: PgBoss,
  options: { pool: string; concurrency: number },
): Promise<Worker> {
  const stop = new AbortController();
  const running = new Set<Promise<void>>();
  const queue = queueOf(options.pool);
  await prepareQueue(boss, options.pool);
  await boss.work<TaskJob>(
    queue,
    {
      localConcurrency: options.concurrency,
      pollingIntervalSeconds: 0.5,
      notifyPollingIntervalSeconds: 2,
      heartbeatRefreshSeconds: 3,
    },
    async (jobs) => {
      for (const job of jobs) {
        const run = runTask(context, { taskId: job.data.taskId, jobId: job.id }, stop.signal);
        running.add(run);
        await run.finally(() => running.delete(run));
      }
    },
  );
  return {
    async close() {
      const idle = boss.offWork(queue);
      stop.abort(new Error('the worker stops'));
      await Promise.allSettled(running);
      await idle;
    },
  };
}

/**
 * Gives a new job to every unfinished task whose job is not alive: its worker died and was found out by its heartbeat, or
 * the job was lost. Runs every few seconds in every process that works; two of them at once do no harm.
 */
export async function adoptOrphanedTasks(context: Context): Promise<void> {
  for (const task of await tasksWithoutLiveJob(context.db)) await giveNewJob(context, task);
}

/**
 * At the start of a process that has the database to itself, whoever had taken a task is dead: nobody needs to wait for
 * heartbeats to run out.
 */
export async function adoptTakenTasks(context: Context): Promise<void> {
  for (const task of await takenTasks(context.db)) await giveNewJob(context, task);
}

async function giveNewJob(context: Context, held: HeldTask): Promise<void> {
  await context.db.transaction().execute(async (trx) => {
    const task = await lockTask(trx, held.id);
    // Another process may have been faster.
    if (!task || task.jobId !== held.jobId || isFinished(task.status)) return;
    const jobId = randomUUID();
    await replaceJob(trx, task.id, jobId);
    await context.jobs.send(trx, { pool: task.pool, jobId, taskId: task.id });
    context.log.warn(
      { task_id: task.id, attempt: task.attempt },
      'the worker of a task died, the task goes to another',
    );
  });
}

export const adoptIntervalMs = superviseSeconds * 1000;
