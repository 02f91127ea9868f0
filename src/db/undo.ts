import { sql } from 'kysely';
import type { Reader, WriteTransaction } from './schema.ts';

/** The undo of a restore takes a while, and outside of any transaction: these rows say that it is under way. */

/** A process that died in the middle of an undo must not block the instance: after this long it is taken for dead. */
const deadAfterMs = 15 * 60 * 1000;

/** For conditions on a restore: no undo of it is under way. */
export function notBeingUndone() {
  return sql<boolean>`(undoing_since is null or undoing_since < ${deadline()})`;
}

function deadline(): Date {
  return new Date(Date.now() - deadAfterMs);
}

/** Whether an undo of one of the instance's restores is under way. */
export async function isBeingUndone(db: Reader, instanceId: number): Promise<boolean> {
  const row = await db
    .selectFrom('restores')
    .select('id')
    .where('instance_id', '=', instanceId)
    .where('undoing_since', '>=', deadline())
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** An undo begins: until it ends, no task of the instance starts. */
export async function beginUndo(trx: WriteTransaction, restoreId: number, now: Date): Promise<void> {
  await trx.updateTable('restores').set({ undoing_since: now }).where('id', '=', restoreId).execute();
}

/** An undo failed, and the replaced data is as it was. */
export async function giveUpUndo(trx: WriteTransaction, restoreId: number): Promise<void> {
  await trx.updateTable('restores').set({ undoing_since: null }).where('id', '=', restoreId).execute();
}

/** The replaced data is gone; `undoneAt` says that it was put back rather than discarded. */
export async function endUndo(
  trx: WriteTransaction,
  restoreId: number,
  undoneAt: Date | null,
): Promise<void> {
  await trx
    .updateTable('restores')
    .set({ undo_until: null, undoing_since: null, ...(undoneAt && { undone_at: undoneAt }) })
    .where('id', '=', restoreId)
    .execute();
}
