import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import type { Target } from './connection.ts';
import { readTables } from './details.ts';
import { isLostConnection, translateError } from './errors.ts';
import { prepareExchange } from './exchange.ts';
import { load, refuseIncomplete } from './load.ts';
import { endSession, getLock, takeLock } from './locks.ts';
import { tryPrograms } from './make-programs.ts';
import { keptName, loadLock, mainLock, markerTable, stagingName } from './names.ts';
import { planRestore } from './plan.ts';
import type { Program } from './programs.ts';
import { createSchema, dropSchema, tableExists } from './schemas.ts';
import { openSession, type Session, withSession } from './session.ts';
import { finishOrPutBack, settleIn } from './settle.ts';
import { switchTables } from './switch.ts';

export interface RestoreOptions {
  /** Milliseconds after which a server that neither answers nor is at work is taken to hang. */
  readonly stallMs: number;
}

/** Restores a backup; see docs/engines/mariadb.md for how, and what it promises. */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  { stallMs }: RestoreOptions,
  signal: AbortSignal,
): Promise<RestoreReport> {
  const staging = stagingName(ticket.id, ticket.attempt);
  const work: Work = { target, bytes, ticket, signal, stallMs, staging, used: [] };
  try {
    ticket.onPhase('preparing');
    if (signal.aborted) throw abortError(signal);
    // An abort must not cut this session in the middle of a switch; everything that takes long looks at the signal itself.
    return await withSession(target, { signal: never, silenceMs: stallMs }, async (session) => {
      work.used.push(session.id);
      return await stageAndSwitch(work, session);
    });
  } catch (error) {
    await cleanUp(work);
    // Errors of `bytes` (a damaged backup, an abort) are in the catalogue already and stay what they are.
    if (signal.aborted) throw abortError(signal);
    throw translateError(error, 'The restore failed');
  } finally {
    bytes.destroy();
  }
}

interface Work extends RestoreOptions {
  readonly target: Target;
  readonly bytes: Readable;
  readonly ticket: RestoreTicket;
  readonly signal: AbortSignal;
  readonly staging: string;
  /** Sessions of this attempt, by the server's ids. */
  readonly used: number[];
}

const never = new AbortController().signal;

async function stageAndSwitch(work: Work, session: Session): Promise<RestoreReport> {
  const { target, ticket, staging, signal } = work;
  await takeLock(session, mainLock(ticket.id));
  const plan = await planRestore(session, target, ticket.source, staging);
  const { details } = plan;
  await createSchema(session, staging, details);
  ticket.onPhase('transferring');
  const programs = await loadBeside(work, plan.place.maxAllowedPacket, details.database);
  ticket.onPhase('verifying');
  const tables = (await readTables(session, staging)).length;
  refuseIncomplete({ tables, programs: programs.length }, details);
  const tried = await tryPrograms(session, programs, {
    schema: staging,
    source: details.database,
    target: target.database,
    account: { source: details.account, target: plan.place.account },
  });
  if (signal.aborted) throw abortError(signal);
  const exchange = await prepareExchange(session, {
    ticketId: ticket.id,
    target: target.database,
    incoming: staging,
    outgoing: keptName(ticket.id),
    kind: 'switched',
    charset: details.charset,
    collation: details.collation,
    programs: tried.programs,
  });
  const terminator = await openSession(target, { signal: never, silenceMs: work.stallMs });
  work.used.push(terminator.id);
  let switchMs: number;
  try {
    // The session that loaded may still be on its way out.
    await getLock(terminator, loadLock(ticket.id), 5);
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    const startedAt = performance.now();
    tried.notKept.push(...(await switchOver(work, session, terminator, exchange)));
    switchMs = Math.round(performance.now() - startedAt);
  } finally {
    await terminator.close();
  }
  // What cannot be dropped now is dropped when the replaced data is discarded.
  await dropSchema(session, staging).catch(() => {});
  return { method: 'staged', switchMs, undoable: true, notKept: [...plan.notKept, ...tried.notKept] };
}

async function switchOver(
  { target, ticket, signal, stallMs }: Work,
  session: Session,
  terminator: Session,
  exchange: Parameters<typeof switchTables>[2],
): Promise<readonly string[]> {
  let outcome: Error | readonly string[];
  try {
    await switchTables(session, terminator, exchange, signal);
    outcome = await finishOrPutBack(session, target, ticket.id);
  } catch (error) {
    if (!isLostConnection(error) || signal.aborted) throw error;
    if (await isSwitched(target, ticket.id, cleanUpSignal(stallMs))) return [];
    throw error;
  }
  if (!(outcome instanceof Error)) return outcome;
  throw new ForestayError('ToolFailed', `${outcome.message} The old data is back.`, {
    hint: 'Compare the rights of the user on the database with those that docs/engines/mariadb.md lists.',
    cause: outcome,
  });
}

/**
 * What became of a switch whose connection was lost, the server can tell, and it is finished where it was begun. Whoever else
 * is at work on the restore by now is not disturbed: then this attempt has failed.
 */
async function isSwitched(target: Target, ticketId: string, signal: AbortSignal): Promise<boolean> {
  try {
    return await withSession(target, { signal }, async (session) => {
      if (!(await getLock(session, mainLock(ticketId), 5))) return false;
      return (await settleIn(session, target, ticketId)) === 'switched';
    });
  } catch {
    return false;
  }
}

async function loadBeside(work: Work, maxAllowedPacket: number, source: string): Promise<Program[]> {
  const { target, ticket, bytes, signal, stallMs, staging, used } = work;
  return withSession(target, { signal, silenceMs: stallMs }, async (session) => {
    used.push(session.id);
    await takeLock(session, loadLock(ticket.id));
    return load(bytes, session, { schema: staging, source, maxAllowedPacket, signal });
  });
}

/** Cleaning up goes on after an abort, but not for ever; what it cannot do `settleRestore` does. */
const cleanUpMs = 20_000;

function cleanUpSignal(stallMs: number): AbortSignal {
  return AbortSignal.timeout(Math.min(cleanUpMs, 4 * stallMs));
}

/** Another attempt may be at work by now: only what is this one's is ended and dropped. */
async function cleanUp({ target, ticket, staging, used, stallMs }: Work): Promise<void> {
  if (used.length === 0) return;
  try {
    await withSession(target, { signal: cleanUpSignal(stallMs) }, async (session) => {
      for (const id of used) await endSession(session, id);
      await dropSchema(session, staging);
      if (!(await getLock(session, mainLock(ticket.id), 2))) return;
      if (await tableExists(session, keptName(ticket.id), markerTable(ticket.id, 'switched'))) return;
      await dropSchema(session, keptName(ticket.id));
    });
  } catch {
    // The reason the restore failed matters more, and is thrown; the leftover bears the name of its ticket.
  }
}
