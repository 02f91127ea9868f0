import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { takeOver } from './locks.ts';
import { keptName } from './names.ts';
import { putBack } from './put-back.ts';
import { dropSchema } from './schemas.ts';
import { withSession } from './session.ts';
import { settleIn } from './settle.ts';

/** Puts the replaced tables back and drops the restored ones. */
export async function undoRestore(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  await withSession(target, { signal: never }, (session) =>
    translating('The restore could not be undone', async () => {
      await takeOver(session, ticketId);
      await putBack(session, target, ticketId, signal);
    }),
  );
}

const never = new AbortController().signal;

/** Drops the replaced tables. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  await withSession(target, { signal }, (session) =>
    translating('The replaced data could not be discarded', async () => {
      await takeOver(session, ticketId);
      await settleIn(session, target, ticketId);
      await dropSchema(session, keptName(ticketId));
    }),
  );
}
