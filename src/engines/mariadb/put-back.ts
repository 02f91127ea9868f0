import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { finishExchange, prepareExchange, sendAway } from './exchange.ts';
import { journalIn } from './journal.ts';
import { journalTable, keptName, markerTable, undoneName } from './names.ts';
import { dropSchema, tableExists } from './schemas.ts';
import { openSession, type Session } from './session.ts';
import { switchTables } from './switch.ts';

const never = new AbortController().signal;

/**
 * The exchange in the other direction, or what is left of it. The session must be alone with the restore. Throws
 * `UndoUnavailable` where nothing is kept.
 */
export async function putBack(
  session: Session,
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<void> {
  const [kept, undone] = [keptName(ticketId), undoneName(ticketId)];
  if (!(await tableExists(session, undone, markerTable(ticketId, 'undone')))) {
    if (!(await tableExists(session, kept, markerTable(ticketId, 'switched')))) {
      throw new ForestayError(
        'UndoUnavailable',
        'The data that this restore replaced is not kept any more.',
        {
          hint: 'Restore the backup you need instead.',
        },
      );
    }
    const found = await journalIn(session, kept, journalTable(ticketId)).read();
    if (!found) throw new Error('the journal of the restore is empty');
    const { exchange, done } = found;
    if (!done) await sendAway(session, exchange);
    const back = await prepareExchange(session, {
      ...exchange.before,
      ticketId,
      target: target.database,
      incoming: kept,
      outgoing: undone,
      kind: 'undone',
    });
    const terminator = await openSession(target, { signal: never });
    try {
      await switchTables(session, terminator, back, signal);
    } finally {
      await terminator.close();
    }
  }
  const found = await journalIn(session, undone, journalTable(ticketId)).read();
  if (found && !found.done) await finishExchange(session, found.exchange);
  await dropSchema(session, kept);
  await dropSchema(session, undone);
}
