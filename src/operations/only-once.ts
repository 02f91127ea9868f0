import { timingSafeEqual } from 'node:crypto';
import type { ControlledTransaction, Kysely } from 'kysely';
import { ForestayError } from '../core/errors.ts';
import { seal, unseal } from '../core/sealing.ts';
import { claimKey, findAnswer, type IdempotencyKey, recordAnswer } from '../db/idempotency.ts';
import type { Tables, WriteTransaction } from '../db/schema.ts';
import type { Context } from './context.ts';

export interface OnceRequest extends IdempotencyKey {
  /** Of what was asked for: the same key with another request is a mistake of the caller. */
  readonly requestHash: Uint8Array;
}

const keptMs = 24 * 60 * 60 * 1000;

/**
 * Runs an operation at most once for a key, and answers later requests with the same key as the first was answered. Key,
 * what the operation writes, and the answer are committed in one transaction: the one that the operation opens itself is
 * kept open until the answer is known. So a crash at any moment leaves either all of it or nothing, two at the same
 * time wait for each other, and an operation that failed may be tried again under its key. What the operation does before
 * it writes (probing, reading stores) happens outside of the transaction and keeps nobody waiting.
 *
 * `run` must do its writing through the context it is given, and must not use another connection once it began.
 */
export async function onlyOnce<Answer>(
  context: Context,
  request: OnceRequest,
  run: (context: Context) => Promise<Answer>,
): Promise<Answer> {
  const notBefore = new Date(Date.now() - keptMs);
  const known = await recorded<Answer>(context, request, notBefore);
  if (known) return known.answer;

  const { db, current } = keepingTransactionOpen(context.db, async (trx) => {
    if (!(await claimKey(trx, request, request.requestHash, notBefore))) throw new AnsweredMeanwhile();
  });
  try {
    const answer = await run({ ...context, db });
    const trx = current();
    if (trx) {
      await recordAnswer(trx, request, seal(context.masterKey, binding(request), JSON.stringify(answer)));
      await trx.commit().execute();
    }
    return answer;
  } catch (error) {
    await rollBack(current());
    if (!(error instanceof AnsweredMeanwhile)) throw error;
    const meanwhile = await recorded<Answer>(context, request, notBefore);
    if (meanwhile) return meanwhile.answer;
    throw new ForestayError(
      'Internal',
      'The answer to a request with the same Idempotency-Key has vanished.',
    );
  }
}

class AnsweredMeanwhile extends Error {}

async function recorded<Answer>(
  context: Context,
  request: OnceRequest,
  notBefore: Date,
): Promise<{ answer: Answer } | undefined> {
  const found = await findAnswer(context.db, request, notBefore);
  if (!found) return undefined;
  if (!timingSafeEqual(found.requestHash, request.requestHash)) {
    throw new ForestayError('IdempotencyKeyReused', 'This Idempotency-Key was used for another request.', {
      hint: 'Send a new key with every new request, and the same key only to repeat one.',
    });
  }
  return { answer: JSON.parse(unseal(context.masterKey, binding(request), found.answerSealed)) as Answer };
}

function binding(id: IdempotencyKey): string {
  return `answer:${id.scope}:${id.key}`;
}

/** A database whose first transaction stays open, and which does everything from then on within it. */
function keepingTransactionOpen(db: Kysely<Tables>, onOpen: (trx: WriteTransaction) => Promise<void>) {
  let open: ControlledTransaction<Tables> | undefined;
  const execute = async <T>(work: (trx: WriteTransaction) => Promise<T>): Promise<T> => {
    if (!open) {
      open = await db.startTransaction().execute();
      await onOpen(open);
    }
    return work(open);
  };
  const joined = new Proxy(db, {
    get(target, property) {
      if (property === 'transaction') return () => ({ execute });
      const owner = open ?? target;
      const member: unknown = Reflect.get(owner, property, owner);
      return typeof member === 'function' ? member.bind(owner) : member;
    },
  });
  return { db: joined, current: () => open };
}

async function rollBack(trx: ControlledTransaction<Tables> | undefined): Promise<void> {
  // The error that led here says more than one of a connection that broke with it.
  if (trx && !trx.isCommitted && !trx.isRolledBack) {
    await trx
      .rollback()
      .execute()
      .catch(() => {});
  }
}
