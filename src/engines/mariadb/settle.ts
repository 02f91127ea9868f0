import type { Target } from './connection.ts';
import { isLostConnection, translateError, translating } from './errors.ts';
import { finishExchange } from './exchange.ts';
import { journalIn } from './journal.ts';
import { takeOver } from './locks.ts';
import { journalTable, keptName, markerTable, stagingPrefix, undoneName } from './names.ts';
import { putBack } from './put-back.ts';
import { dropSchema, schemasWith, tableExists } from './schemas.ts';
import { type Session, withSession } from './session.ts';

/**
 * Ends all sessions of a restore, then looks how far it came. A process that was frozen finds its sessions gone: the only one
 * that may switch was opened before it asked whether it still may.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  return withSession(target, { signal }, (session) =>
    translating('An interrupted restore could not be cleaned up', async () => {
      await takeOver(session, ticketId);
      return settleIn(session, target, ticketId);
    }),
  );
}

/** The same for a session that is alone with the restore. */
export async function settleIn(
  session: Session,
  target: Target,
  ticketId: string,
): Promise<'switched' | 'clean'> {
  const [kept, undone] = [keptName(ticketId), undoneName(ticketId)];
  // An undo that got as far as its switch is finished; one that did not has changed nothing.
  if (await tableExists(session, undone, markerTable(ticketId, 'undone')))
    await putBack(session, target, ticketId, never);
  else await dropSchema(session, undone);
  let switched = await tableExists(session, kept, markerTable(ticketId, 'switched'));
  if (switched) switched = !((await finishOrPutBack(session, target, ticketId)) instanceof Error);
  else await dropSchema(session, kept);
  for (const schema of await schemasWith(session, stagingPrefix(ticketId))) await dropSchema(session, schema);
  return switched ? 'switched' : 'clean';
}

const never = new AbortController().signal;

/**
 * What was tried before the switch can hardly fail after it; where it does, the old tables come back, and this resolves with
 * the reason; otherwise with what was left out, a sentence each.
 */
export async function finishOrPutBack(
  session: Session,
  target: Target,
  ticketId: string,
): Promise<Error | readonly string[]> {
  const found = await journalIn(session, keptName(ticketId), journalTable(ticketId)).read();
  if (!found) throw new Error('the journal of the restore is empty');
  if (found.done) return [];
  try {
    return await finishExchange(session, found.exchange);
  } catch (error) {
    if (isLostConnection(error)) throw error;
    await putBack(session, target, ticketId, never);
    return translateError(error, 'Something of the backup could not be made');
  }
}
