import { randomUUID } from 'node:crypto';
import { type ErrorCode, errorCatalogue } from '../core/errors.ts';
import { copyPool } from '../core/task.ts';
import { insertCopy, lockForCopy, missingCopies, removeFailedCopy } from '../db/copies.ts';
import type { WriteTransaction } from '../db/schema.ts';
import { insertTask } from '../db/tasks.ts';
import type { Context } from './context.ts';

/** How long a copy that failed rests before it is tried again, in milliseconds: an outage is over sooner than a fault is mended. */
const retryableRestMs = 5 * 60 * 1000;
const finalRestMs = 24 * 60 * 60 * 1000;
/** Copies asked for at once; a new secondary store gets the rest a minute later. */
const batch = 500;

/** Asks for a copy of a backup in every secondary store, in the transaction that makes the backup done. */
export async function requestCopies(
  context: Context,
  trx: WriteTransaction,
  backup: { id: number; instanceId: number },
): Promise<void> {
  const [, ...secondaries] = context.stores;
  for (const { name } of secondaries) await requestCopy(context, trx, backup, name);
}

/**
 * Asks for what is missing: copies in a store that was added later, copies that failed while a store was away, and those that
 * nobody could ask for (a backup found in a store, say).
 */
export async function catchUpCopies(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  const [, ...secondaries] = context.stores;
  const retryableCodes = (Object.keys(errorCatalogue) as ErrorCode[]).filter(
    (code) => errorCatalogue[code] === 'retryable',
  );
  const missing = await missingCopies(
    context.db,
    secondaries.map(({ name }) => name),
    {
      retryableBefore: new Date(now.getTime() - retryableRestMs),
      finalBefore: new Date(now.getTime() - finalRestMs),
      retryableCodes,
      limit: batch,
    },
  );
  for (const { backupId, instanceId, store } of missing) {
    signal.throwIfAborted();
    await context.db.transaction().execute(async (trx) => {
      // Another process may have been faster, or the backup may be deleted by now.
      const { mayCopy, failedTaskId } = await lockForCopy(trx, backupId, store);
      if (!mayCopy) return;
      if (failedTaskId !== undefined) await removeFailedCopy(trx, failedTaskId);
      await requestCopy(context, trx, { id: backupId, instanceId }, store);
    });
  }
  if (missing.length > 0) context.log.info({ copies: missing.length }, 'copies that were missing asked for');
}

async function requestCopy(
  context: Context,
  trx: WriteTransaction,
  backup: { id: number; instanceId: number },
  store: string,
): Promise<void> {
  const jobId = randomUUID();
  const task = await insertTask(trx, {
    kind: 'copy',
    instanceId: backup.instanceId,
    pool: copyPool,
    jobId,
    triggeredAt: new Date(),
  });
  await insertCopy(trx, { backupId: backup.id, store, taskId: task.id });
  await context.jobs.send(trx, { pool: copyPool, jobId, taskId: task.id });
}
