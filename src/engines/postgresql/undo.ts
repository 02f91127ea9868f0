import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { dropDatabase, openMaintenance } from './maintenance.ts';
import { applicationName, keptName, sessionPrefix, undoneName } from './names.ts';
import { ident } from './quote.ts';
import { findRestoreDatabases } from './remove.ts';
import { dropLeftovers } from './settle.ts';
import { openSwitcher } from './switch.ts';

/** Puts the replaced database back under its name and drops the restored one. */
export async function undoRestore(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  const [kept, undone] = [keptName(ticketId), undoneName(ticketId)];
  const switcher = await openSwitcher(target, { signal, applicationName: `${sessionPrefix(ticketId)}-undo` });
  try {
    await translating('The restore could not be undone', async () => {
      const found = await findRestoreDatabases(switcher.session, target, ticketId);
      if (found.kept) {
        await switcher.exchange({
          busy: target.database,
          busyTo: undone,
          andThen: [
            `ALTER DATABASE ${ident(kept)} ALLOW_CONNECTIONS true`,
            `ALTER DATABASE ${ident(kept)} RENAME TO ${ident(target.database)}`,
          ],
        });
      } else if (!found.undone) {
        // With the undone one still there, an earlier undo got as far as the switch.
        throw new ForestayError(
          'UndoUnavailable',
          'The data that this restore replaced is not kept any more.',
          {
            hint: 'Restore the backup you need instead.',
          },
        );
      }
      await dropDatabase(switcher.session, undone);
    });
  } finally {
    await switcher.close();
  }
}

/** Drops the replaced database. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  const session = await openMaintenance(target, { signal, applicationName });
  try {
    await translating('The replaced data could not be discarded', async () => {
      const { kept } = await findRestoreDatabases(session, target, ticketId);
      if (kept) await dropDatabase(session, keptName(ticketId));
      await dropLeftovers(session, target, ticketId);
    });
  } finally {
    await session.close();
  }
}
