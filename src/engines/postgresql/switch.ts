import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { openMaintenance } from './maintenance.ts';
import { ident } from './quote.ts';
import type { Session } from './session.ts';

/**
 * Exchanging databases by name. It is one transaction, so that a crash at any point leaves either the one or the other:
 * renaming takes a lock that makes new connections to the database wait, and waits itself until the present ones ended.
 */
export interface Switcher {
  /**
   * Renames in one transaction. `busy` is the database whose sessions are ended meanwhile. Resolves with how long its
   * name was locked, in milliseconds.
   */
  exchange(steps: ExchangeSteps): Promise<number>;
  readonly session: Session;
  close(): Promise<void>;
}

export interface ExchangeSteps {
  /** The database users are connected to. */
  readonly busy: string;
  /** Statements before and after its renaming; the first rename is that of `busy` to this name. */
  readonly busyTo: string;
  readonly andThen: readonly string[];
}

/** The connection was lost with a COMMIT under way: whether it took effect, only the server can tell. */
export class CommitUnknown extends ForestayError {
  constructor(cause: unknown) {
    super('InstanceUnreachable', 'The connection to the server was lost in the moment of switching.', {
      hint: 'Try again: whether it had switched is looked at first.',
      cause,
    });
  }
}

/** PostgreSQL itself gives up after five seconds with a session that does not end (CountOtherDBBackends). */
const giveUpMs = 20_000;
const terminateEveryMs = 20;

/**
 * Opens the two sessions of an exchange. They are never opened anew: who ends them (`settleRestore` of another worker)
 * has thereby ended the exchange for good, however long this process was frozen.
 */
export async function openSwitcher(
  target: Target,
  options: { readonly signal: AbortSignal; readonly applicationName: string },
): Promise<Switcher> {
  const { signal } = options;
  // An abort must not cut the session in the middle of a COMMIT; exchange looks at the signal where it can stop.
  const calm = { ...options, signal: new AbortController().signal };
  const session = await openMaintenance(target, calm);
  try {
    const terminator = await openMaintenance(target, calm);
    return {
      session,
      exchange: (steps) => exchange(session, terminator, steps, signal),
      close: async () => {
        await Promise.all([session.close(), terminator.close()]);
      },
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

async function exchange(
  session: Session,
  terminator: Session,
  { busy, busyTo, andThen }: ExchangeSteps,
  signal: AbortSignal,
): Promise<number> {
  if (signal.aborted) throw abortError(signal);
  await refusePrepared(terminator, busy);
  const pid = await session.pid();
  await session.query(
    `BEGIN; SET LOCAL lock_timeout = ${giveUpMs}; SET LOCAL statement_timeout = ${giveUpMs}; ` +
      // A process that is frozen between two statements must not lock the name for ever.
      `SET LOCAL idle_in_transaction_session_timeout = ${giveUpMs}`,
  );
  const startedAt = performance.now();
  let done = false;
  const ending = endSessions(terminator, busy, pid, () => done, signal);
  try {
    try {
      await session.query(`ALTER DATABASE ${ident(busy)} RENAME TO ${ident(busyTo)}`);
      for (const statement of andThen) await session.query(statement);
    } finally {
      done = true;
      await ending;
    }
    if (signal.aborted) throw abortError(signal);
    await session.query('COMMIT').catch((cause) => {
      throw new CommitUnknown(cause);
    });
  } catch (error) {
    if (error instanceof CommitUnknown) throw error;
    await session.query('ROLLBACK').catch(() => {});
    if (signal.aborted) throw abortError(signal);
    throw await explain(terminator, busy, error);
  }
  return Math.round(performance.now() - startedAt);
}

/** Ends the sessions of a database again and again, until told to stop. An abort ends the exchange itself. */
async function endSessions(
  terminator: Session,
  busy: string,
  exchangePid: number,
  isDone: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  // The rename must hold the lock first, or clients that connect again at once would be ended twice.
  while (!isDone()) {
    try {
      if (signal.aborted) {
        await terminator.query('SELECT pg_terminate_backend($1)', [exchangePid]);
        return;
      }
      await terminator.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = $1 AND pid <> pg_backend_pid() AND (
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           OR (pg_has_role(usesysid, 'MEMBER') OR pg_has_role('pg_signal_backend', 'MEMBER'))
              AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid))`,
        [busy],
      );
    } catch {
      // The rename then fails by itself, and says who is in the way.
      return;
    }
    await sleep(terminateEveryMs);
  }
}

async function refusePrepared(session: Session, database: string): Promise<void> {
  const rows = await session.query<{ gid: string }>(
    'SELECT gid FROM pg_prepared_xacts WHERE database = $1 LIMIT 3',
    [database],
  );
  if (rows.length === 0) return;
  throw new ForestayError(
    'InstanceBusy',
    `The database has prepared transactions, which outlive their sessions: ${rows.map(({ gid }) => gid).join(', ')}.`,
    { hint: 'End them with COMMIT PREPARED or ROLLBACK PREPARED, then restore again. Nothing was changed.' },
  );
}

async function explain(terminator: Session, busy: string, error: unknown): Promise<Error> {
  const code = (error as { code?: unknown }).code;
  if (code !== '55006' && code !== '57014' && code !== '55P03')
    return translateError(error, 'The databases were not switched');
  const sessions = await terminator
    .query<{ who: string }>(
      `SELECT DISTINCT coalesce(usename::text, backend_type) AS who FROM pg_stat_activity WHERE datname = $1 LIMIT 5`,
      [busy],
    )
    .catch(() => []);
  const who = sessions.length === 0 ? '' : ` They belong to: ${sessions.map((row) => row.who).join(', ')}.`;
  return new ForestayError(
    'InstanceBusy',
    `Sessions in the database could not be ended, so it was not switched.${who}`,
    {
      hint: 'End these sessions (the role may not), or give the role pg_signal_backend, then restore again. Nothing was changed.',
      cause: error,
    },
  );
}
