import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import { cleanUpMs, withActingUser } from './acting-user.ts';
import { type Api, type ApiLimits, openApi } from './api.ts';
import { readBackup } from './backup-file.ts';
import { examineBroker } from './broker.ts';
import type { Target } from './connection.ts';
import { converge } from './converge.ts';
import { countOf, type Definitions, withoutTemporary } from './definitions.ts';
import { assertCompatible, type Details } from './details.ts';
import { deleteJournal, readJournal, writeJournal } from './journal.ts';
import { readDefinitions } from './read.ts';

/** Makes the broker's definitions those of the backup, and on failure those of before; see docs/engines/rabbitmq.md. */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  limits: ApiLimits,
  signal: AbortSignal,
): Promise<RestoreReport> {
  using own = openApi(target, { limits, signal });
  try {
    ticket.onPhase('preparing');
    const broker = await examineBroker(own, target.vhost);
    const details = await assertCompatible(own, broker, target, ticket.source);
    ticket.onPhase('transferring');
    const wanted = await readWhole(bytes, details, signal);
    ticket.onPhase('verifying');
    const role = `a${ticket.attempt}`;
    const notKept = await withActingUser(own, { ticketId: ticket.id, role }, (acting, user) =>
      switchOver({ own, acting, user, self: broker.user, vhost: target.vhost, wanted, ticket, signal }),
    );
    return { method: 'in place', switchMs: null, undoable: true, notKept };
  } catch (error) {
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    bytes.destroy();
  }
}

/** Reads a backup and compares it with what it says of itself. */
export async function readWhole(
  bytes: Readable,
  details: Details,
  signal: AbortSignal,
): Promise<Definitions> {
  const definitions = await readBackup(bytes, signal);
  // Backups of earlier versions may hold what cannot be made again.
  if (countOf(definitions) === details.count) return withoutTemporary(definitions);
  throw new ForestayError(
    'BackupDamaged',
    `The backup holds ${countOf(definitions)} things instead of ${details.count}.`,
    { hint: 'Use another backup. Nothing was changed.' },
  );
}

interface Switch {
  readonly own: Api;
  readonly acting: Api;
  readonly user: string;
  readonly self: string;
  readonly vhost: string | undefined;
  readonly wanted: Definitions;
  readonly ticket: RestoreTicket;
  readonly signal: AbortSignal;
}

/** Everything from the last question on is done as the acting user, so that whoever deletes that one ends it. */
async function switchOver(work: Switch): Promise<string[]> {
  const { acting, ticket, vhost, signal } = work;
  const before = await readDefinitions(acting, vhost);
  ticket.onPhase('switching');
  await ticket.beforeSwitch();
  if (signal.aborted) throw abortError(signal);
  await writeJournal(acting, ticket.id, { state: 'applying', before });
  try {
    const notKept = await converge({ ...work, api: acting });
    await markDone(work, before);
    return notKept;
  } catch (error) {
    throw await rollBack(work, before, error);
  }
}

/** An answer that was lost does not undo what it would have said. */
async function markDone({ own, acting, ticket }: Switch, before: Definitions): Promise<void> {
  try {
    await writeJournal(acting, ticket.id, { state: 'done', before });
  } catch (error) {
    using later = own.as({ signal: AbortSignal.timeout(cleanUpMs) });
    const journal = await readJournal(later, ticket.id).catch(() => undefined);
    if (journal?.state !== 'done') throw error;
  }
}

/** Resolves with the error to throw. What cannot be rolled back now (the broker is away, say) `settleRestore` rolls back. */
async function rollBack(work: Switch, before: Definitions, error: unknown): Promise<unknown> {
  const signal = AbortSignal.timeout(cleanUpMs);
  using acting = work.acting.as({ signal });
  try {
    const left = await converge({ ...work, api: acting, wanted: before, signal });
    await deleteJournal(acting, work.ticket.id);
    const told = left.filter((sentence) => !sentence.includes(`"${work.self}"`));
    if (told.length === 0 || !(error instanceof ForestayError)) return error;
    return new ForestayError(
      error.code,
      `${error.message} It was rolled back, but: ${told.slice(0, 5).join(' ')}`,
      {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      },
    );
  } catch {
    return error;
  }
}
