import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import { errorNumber, isLostConnection, translateError } from './errors.ts';
import { moveTables } from './exchange.ts';
import type { Exchange } from './journal.ts';
import { endSession } from './locks.ts';
import type { Session } from './session.ts';

/** Waiting longer than this for the transactions of others makes the switch fail. */
const giveUpSeconds = 20;
/** Transactions under way get this long to end by themselves; then their sessions are ended. */
const graceMs = 2_000;
const lockWaitTimeout = 1205;

/**
 * Step 1 of an exchange, through sessions that were opened before anybody asked whether it still may happen. While it waits
 * for the transactions of others, new ones wait behind it. An abort ends it as long as it waits.
 */
export async function switchTables(
  session: Session,
  terminator: Session,
  exchange: Exchange,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw abortError(signal);
  await session.query(`SET SESSION lock_wait_timeout = ${giveUpSeconds}, foreign_key_checks = 0`);
  let over = false;
  const ending = endOthers(terminator, session, exchange.target, () => over, signal);
  try {
    await moveTables(session, exchange);
  } catch (error) {
    if (signal.aborted && isLostConnection(error)) throw abortError(signal);
    if (errorNumber(error) === lockWaitTimeout) throw await busy(terminator, exchange.target, error);
    throw damaged(error);
  } finally {
    over = true;
    await ending;
  }
}

async function endOthers(
  terminator: Session,
  own: Session,
  schema: string,
  isOver: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = Date.now();
  while (!isOver()) {
    try {
      if (signal.aborted) {
        await endSession(terminator, own.id);
        return;
      }
      if (Date.now() - startedAt > graceMs)
        for (const { id } of await othersIn(terminator, schema))
          if (id !== own.id) await endSession(terminator, id);
    } catch {
      // The switch then fails by itself, and says who is in the way.
      return;
    }
    await sleep(20);
  }
}

/** Sessions that this user may see. */
async function othersIn(terminator: Session, schema: string): Promise<{ id: number; user: string }[]> {
  const rows = await terminator.query<{ id: number; user: string }>(
    'SELECT ID AS id, USER AS user FROM information_schema.PROCESSLIST WHERE DB = ? AND ID <> CONNECTION_ID()',
    [schema],
  );
  return rows.map(({ id, user }) => ({ id: Number(id), user }));
}

/** What nothing else explains: a table of the database cannot be moved, most often one whose files are damaged or gone. */
function damaged(error: unknown): unknown {
  const found = translateError(error, 'The present tables could not be moved away');
  if (!(found instanceof ForestayError) || found.code !== 'ToolFailed') return error;
  return new ForestayError('InstanceRefused', found.message, {
    hint: 'If the table that is named is damaged, repair it or drop it, then restore again. Nothing was changed.',
    cause: error,
  });
}

async function busy(terminator: Session, schema: string, error: unknown): Promise<Error> {
  const users = await othersIn(terminator, schema)
    .then((rows) => [...new Set(rows.map(({ user }) => user))].slice(0, 5))
    .catch(() => []);
  const who = users.length === 0 ? '' : ` In the database are sessions of: ${users.join(', ')}.`;
  return new ForestayError(
    'InstanceBusy',
    `Tables are in use by transactions that could not be ended, so nothing was switched.${who}`,
    {
      hint: 'End these sessions, or give the user PROCESS and CONNECTION ADMIN, then restore again. Nothing was changed.',
      cause: translateError(error, 'The tables were not switched'),
    },
  );
}
