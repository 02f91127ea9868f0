import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { errorNumber } from './errors.ts';
import { loadLock, mainLock } from './names.ts';
import type { Session } from './session.ts';

/**
 * A user-level lock is the server's own note of which session works on a restore. It is gone with the session, after the
 * session's last statement: whoever has the lock is alone.
 */
export async function takeLock(session: Session, name: string): Promise<void> {
  if (await getLock(session, name, 0)) return;
  throw new ForestayError('InstanceBusy', 'Another attempt of this restore is at work.', {
    hint: 'Wait until it has ended, then try again.',
  });
}

export async function getLock(session: Session, name: string, seconds: number): Promise<boolean> {
  const [row] = await session.query<{ got: number | null }>('SELECT GET_LOCK(?, ?) AS got', [name, seconds]);
  return Number(row?.got) === 1;
}

const patienceMs = 20_000;

/** Ends all sessions of a restore, whoever has them, and takes their locks. */
export async function takeOver(session: Session, ticketId: string): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (const name of [mainLock(ticketId), loadLock(ticketId)]) {
    while (!(await getLock(session, name, 0))) {
      const [row] = await session.query<{ holder: number | null }>('SELECT IS_USED_LOCK(?) AS holder', [
        name,
      ]);
      if (row?.holder) await endSession(session, Number(row.holder));
      if (Date.now() > deadline) {
        throw new ForestayError(
          'InstanceBusy',
          'Sessions of an earlier attempt of this restore do not end.',
          {
            hint: `End the session that holds the lock ${name} at the server (IS_USED_LOCK), then try again.`,
          },
        );
      }
      await sleep(20);
    }
  }
}

const unknownSession = 1094;
const notOwner = 1095;

/** Ends a session; false where the user may not. */
export async function endSession(session: Session, id: number): Promise<boolean> {
  try {
    await session.query(`KILL ${Math.trunc(id)}`);
    return true;
  } catch (error) {
    if (errorNumber(error) === unknownSession) return true;
    if (errorNumber(error) === notOwner) return false;
    throw error;
  }
}
