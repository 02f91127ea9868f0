import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError, hasCode } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { openMaintenance } from './maintenance.ts';
import { applicationName, sessionPrefix, undoneName } from './names.ts';
import { dropStaging, findRestoreDatabases } from './remove.ts';
import { openSession, type Session } from './session.ts';

const sessionsEndMs = 15_000;
/** A client tool of a frozen worker may be about to connect; only when none came for so long, none is. */
const quietMs = 300;
const dropMs = 20_000;
/** SQLSTATE of what a statement_timeout ended. */
const queryCanceled = '57014';

/**
 * Ends all sessions of a restore, then looks at what it achieved. A process that was frozen finds its sessions gone: the
 * only one that may switch was opened before it asked whether it still may.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  const session = await openAny(target, signal);
  try {
    return await translating('An interrupted restore could not be cleaned up', async () => {
      await endRestoreSessions(session, ticketId);
      const { kept } = await findRestoreDatabases(session, target, ticketId);
      await dropLeftovers(session, target, ticketId);
      return kept ? 'switched' : 'clean';
    });
  } finally {
    await session.close();
  }
}

/** Where there is no other database to connect to, restores were in place: its own one will do to end their sessions. */
async function openAny(target: Target, signal: AbortSignal): Promise<Session> {
  try {
    return await openMaintenance(target, { signal, applicationName });
  } catch (error) {
    if (!hasCode(error, 'InstanceRefused')) throw error;
    return openSession(target, { signal, applicationName });
  }
}

async function endRestoreSessions(session: Session, ticketId: string): Promise<void> {
  const deadline = Date.now() + sessionsEndMs;
  let quietSince = Date.now();
  for (;;) {
    const rows = await session.query(
      `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE starts_with(lower(application_name), $1) AND pid <> pg_backend_pid()`,
      [sessionPrefix(ticketId)],
    );
    if (rows.length > 0) quietSince = Date.now();
    if (Date.now() - quietSince > quietMs) return;
    if (Date.now() > deadline) {
      throw new ForestayError('InstanceBusy', 'Sessions of an earlier attempt of this restore do not end.', {
        hint: `End the sessions named ${sessionPrefix(ticketId)} at the server, then try again.`,
      });
    }
    await sleep(50);
  }
}

/**
 * Drops what attempts staged, one that was undone included. A drop waits for every backend of the server, so a frozen client of any
 * database can hold it up: after a while it is left for later (`discardReplaced`), since nothing can be done with it but
 * dropping it.
 */
export async function dropLeftovers(session: Session, target: Target, ticketId: string): Promise<void> {
  const { staging, undone } = await findRestoreDatabases(session, target, ticketId);
  for (const name of [...staging, ...(undone ? [undoneName(ticketId)] : [])]) {
    await session.query(`SET statement_timeout = ${dropMs}`);
    try {
      await dropStaging(session, target, name);
    } catch (error) {
      if ((error as { code?: unknown }).code !== queryCanceled) throw error;
    } finally {
      await session.query('RESET statement_timeout');
    }
  }
}
