import type { Reader, WriteTransaction } from './schema.ts';

/** What was answered to a request that carried an `Idempotency-Key`. */
export interface RecordedAnswer {
  readonly requestHash: Uint8Array;
  readonly answerSealed: Uint8Array;
}

/** Who asked, and where: a key means nothing to another caller or at another address. */
export interface IdempotencyKey {
  readonly scope: string;
  readonly key: string;
}

export async function findAnswer(
  db: Reader,
  id: IdempotencyKey,
  notBefore: Date,
): Promise<RecordedAnswer | undefined> {
  const row = await db
    .selectFrom('idempotent_requests')
    .select(['request_hash', 'answer_sealed'])
    .where('scope', '=', id.scope)
    .where('key', '=', id.key)
    .where('created_at', '>', notBefore)
    .executeTakeFirst();
  return row?.answer_sealed ? { requestHash: row.request_hash, answerSealed: row.answer_sealed } : undefined;
}

/**
 * Takes the key for this transaction. Waits for another transaction that has taken it; false when that one committed, so
 * that there is an answer now. Keys from before `notBefore` are forgotten on the way.
 */
export async function claimKey(
  trx: WriteTransaction,
  id: IdempotencyKey,
  requestHash: Uint8Array,
  notBefore: Date,
): Promise<boolean> {
  await trx.deleteFrom('idempotent_requests').where('created_at', '<=', notBefore).execute();
  const row = await trx
    .insertInto('idempotent_requests')
    .values({ scope: id.scope, key: id.key, request_hash: requestHash, answer_sealed: null })
    .onConflict((conflict) => conflict.columns(['scope', 'key']).doNothing())
    .returning('key')
    .executeTakeFirst();
  return row !== undefined;
}

export async function recordAnswer(
  trx: WriteTransaction,
  id: IdempotencyKey,
  answerSealed: Uint8Array,
): Promise<void> {
  await trx
    .updateTable('idempotent_requests')
    .set({ answer_sealed: answerSealed })
    .where('scope', '=', id.scope)
    .where('key', '=', id.key)
    .execute();
}
