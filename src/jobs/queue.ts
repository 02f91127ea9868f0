import { randomUUID } from 'node:crypto';
import { fromKysely, fromPglite, PgBoss } from 'pg-boss';
import type { Database } from '../db/open.ts';
import type { JobSender, Log } from '../operations/context.ts';

/**
 * The queue: pg-boss in the service's own database. A job carries a task's id and nothing else, and is tried once: what
 * happens after a failure or a death is decided by the task's row, which then names another job. So a worker that was
 * thought dead holds a job that nobody waits for any more, and can finish nothing.
 */
export interface TaskJob {
  readonly taskId: number;
}

/** A worker that has not been heard of for this long is dead, in seconds. pg-boss allows no less. */
export const heartbeatSeconds = 10;
/** How often the dead are looked for. */
export const superviseSeconds = 5;
/** pg-boss allows no more: a task that runs longer than a day is taken for dead. */
const expireSeconds = 24 * 60 * 60;

export function queueOf(pool: string): string {
  return `tasks-${pool}`;
}

/** Not started: `start` makes or updates its tables. */
export function makeBoss(database: Database, log: Log): PgBoss {
  const supervision = {
    superviseIntervalSeconds: superviseSeconds,
    monitorIntervalSeconds: superviseSeconds,
    useListenNotify: true,
  };
  const boss = database.embedded
    ? new PgBoss({ db: fromPglite(database.embedded), backend: 'pglite', ...supervision })
    : new PgBoss({ connectionString: database.url!, application_name: 'forestay', max: 4, ...supervision });
  boss.on('error', (error) => log.error({ err: error }, 'the job queue reports an error'));
  boss.on('warning', (warning) => log.warn({ warning }, 'the job queue warns'));
  return boss;
}

export function jobSender(boss: PgBoss): JobSender {
  return {
    preparePool: (pool) => prepareQueue(boss, pool),
    async send(trx, { pool, jobId, taskId, delaySeconds = 0 }) {
      const data: TaskJob = { taskId };
      await boss.send(queueOf(pool), data, { id: jobId, startAfter: delaySeconds, db: fromKysely(trx) });
    },
  };
}

/**
 * Makes the queue of a pool; does nothing where there is one. Looks into it once, so that pg-boss has read its settings:
 * within a transaction of the embedded database, which has one connection, it would wait for itself.
 */
export async function prepareQueue(boss: PgBoss, pool: string): Promise<void> {
  await boss.createQueue(queueOf(pool), {
    retryLimit: 0,
    heartbeatSeconds,
    expireInSeconds: expireSeconds,
    retentionSeconds: 365 * 24 * 60 * 60,
    deleteAfterSeconds: 60 * 60,
    notify: true,
  });
  await boss.findJobs(queueOf(pool), { id: randomUUID() });
}
