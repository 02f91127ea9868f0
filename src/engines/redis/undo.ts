import { ForestayError } from '../../core/errors.ts';
import { sessionName } from './back-up.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { emptyMarked, isOf, type Marked, markerKey, sortDatabases } from './marker.ts';
import { type Session, withSession } from './session.ts';
import { superseded } from './stage.ts';
import { switchBack } from './switch.ts';

/** Puts the replaced databases and functions back and removes the restored ones. */
export async function undoRestore(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  await withSession(target, { signal, name: sessionName }, (session) =>
    translating('The restore could not be undone', async () => {
      const own = await ofTicket(session, ticketId);
      const kept = own.filter(({ marker }) => marker.state === 'kept');
      // With undone ones still there, an earlier undo got as far as the switch.
      if (kept.length === 0 && own.some(({ marker }) => marker.state === 'undone'))
        return remove(session, own);
      const [first] = kept;
      const pairs = first?.marker.pairs ?? [];
      const isThere = (db: number) => kept.some((each) => each.db === db);
      if (!first || pairs.length === 0 || !pairs.every(({ beside }) => isThere(beside))) throw notKept();
      for (const { db, text } of kept) {
        await session.command('SELECT', db);
        await session.command('WATCH', markerKey);
        const now = await session.command('GET', markerKey);
        if (!Buffer.isBuffer(now) || now.toString('utf8') !== text) throw superseded();
      }
      const withFunctions = kept.find(({ marker }) => marker.functions !== undefined) ?? first;
      await switchBack(session, withFunctions.marker);
      await remove(session, await ofTicket(session, ticketId));
    }),
  );
}

/** Removes what a restore replaced, and what else it left. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  await withSession(target, { signal, name: sessionName }, (session) =>
    translating('The replaced data could not be discarded', async () =>
      remove(session, await ofTicket(session, ticketId)),
    ),
  );
}

async function ofTicket(session: Session, ticketId: string): Promise<Marked[]> {
  const { marked } = await sortDatabases(session);
  return marked.filter(({ marker }) => isOf(marker, ticketId));
}

async function remove(session: Session, databases: readonly Marked[]): Promise<void> {
  for (const each of databases) await emptyMarked(session, each);
}

function notKept(): ForestayError {
  return new ForestayError('UndoUnavailable', 'The data that this restore replaced is not kept any more.', {
    hint: 'Restore the backup you need instead.',
  });
}
