import { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import type { Target } from './connection.ts';
import { relationsSql } from './details.ts';
import { openToolEnvironment } from './environment.ts';
import { translateError } from './errors.ts';
import { createGuard, type Guard } from './guard.ts';
import { type LoadOptions, loadDirectly, loadGuarded, loadInPlace } from './load.ts';
import { hasMaintenance, openMaintenance } from './maintenance.ts';
import { applicationName, keptName, sessionName, stagingName } from './names.ts';
import { describeFailures } from './not-kept.ts';
import { type Plan, planRestore } from './plan.ts';
import { ident } from './quote.ts';
import { dropStaging, findRestoreDatabases } from './remove.ts';
import { openSession, withSession } from './session.ts';
import { roomLacking, spoolBackup } from './spool.ts';
import { applyProperties, createStaging, readProperties } from './stage.ts';
import { watchForStall } from './stall.ts';
import { CommitUnknown, openSwitcher } from './switch.ts';
import { findToolsets } from './tools.ts';

export interface RestoreOptions {
  /** Folders with client tools. */
  readonly folders: readonly string[];
  readonly stallMs: number;
}

/** Restores a backup; see docs/engines/postgresql.md for how, and what each way promises. */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<RestoreReport> {
  const work: Work = {
    ...options,
    target,
    bytes,
    ticket,
    signal,
    applicationName: sessionName(ticket.id, ticket.attempt),
  };
  try {
    ticket.onPhase('preparing');
    const toolsets = await findToolsets(work.folders, signal);
    const reachable = await hasMaintenance(target, work);
    const plan = await withSession(target, work, (session) =>
      planRestore(session, ticket.source, toolsets, reachable),
    );
    const run = plan.inPlace ? restoreInPlace : restoreStaged;
    const { format = 'custom', archiveBytes } = plan.details;
    const { parallel: jobs = 1 } = target;
    // Several jobs only where all goes straight in: what a guard rewrites is one script.
    if (format === 'custom' && !(plan.direct && jobs > 1)) return await run(work, plan);
    ticket.onPhase('transferring');
    const spool = await spoolBackup(bytes, { format, archiveBytes }, signal);
    try {
      return await run({ ...work, bytes: Readable.from([]), archive: spool.archive }, plan);
    } catch (error) {
      throw roomLacking(error) ?? error;
    } finally {
      // What cannot be removed now is swept when this process is gone; a restore that has switched did not fail.
      await spool.remove().catch(() => {});
    }
  } catch (error) {
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
  readonly applicationName: string;
  /** Where the archive lies instead of coming as `bytes`. */
  readonly archive?: string;
}

async function restoreStaged(work: Work, plan: Plan): Promise<RestoreReport> {
  const { target, ticket } = work;
  const staging = stagingName(ticket.id, ticket.attempt);
  try {
    const properties = await withMaintenance(work, async (session) => {
      const found = await readProperties(session, target.database);
      if (!found) throw new ForestayError('InstanceRefused', 'The database is not there any more.');
      await createStaging(session, staging, found);
      return found;
    });
    if (!plan.details.publicSchema) {
      await withSession(target, { ...work, database: staging }, (session) =>
        session.query('DROP SCHEMA public'),
      );
    }
    ticket.onPhase('transferring');
    const guard = createGuard({ ...plan.place, roles: plan.roles, inPlace: false });
    await withTools(work, plan, staging, (options) =>
      plan.direct ? loadDirectly(work.bytes, staging, options) : loadGuarded(work.bytes, guard, options),
    );
    ticket.onPhase('verifying');
    await refuseNothing(work, plan, staging);
    const lost = await withMaintenance(work, (session) => applyProperties(session, staging, properties));
    const switchMs = await switchOver(work, staging);
    return {
      method: 'staged',
      switchMs,
      undoable: true,
      notKept: [...plan.notKept, ...failuresOf(guard, plan), ...lost],
    };
  } catch (error) {
    await removeStaging(target, staging);
    throw error;
  }
}

/** A tool that only says it succeeded must not empty the instance. */
async function refuseNothing(work: Work, plan: Plan, staging: string): Promise<void> {
  if (plan.details.relations === 0) return;
  const [row] = await withSession(work.target, { ...work, database: staging }, (session) =>
    session.query<{ relations: number }>(`SELECT ${relationsSql} AS relations`),
  );
  if (row?.relations) return;
  throw new ForestayError('ToolFailed', 'pg_restore reported success, but the restored database is empty.', {
    hint: 'Check the PostgreSQL client tools of the worker. Nothing was changed.',
  });
}

/** The sessions are open before the last question is asked, so that ending them ends the right to switch. */
async function switchOver(
  { target, ticket, signal, applicationName }: Work,
  staging: string,
): Promise<number> {
  const kept = keptName(ticket.id);
  const switcher = await openSwitcher(target, { signal, applicationName });
  const startedAt = performance.now();
  try {
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    return await switcher.exchange({
      busy: target.database,
      busyTo: kept,
      andThen: [
        `ALTER DATABASE ${ident(staging)} RENAME TO ${ident(target.database)}`,
        `ALTER DATABASE ${ident(kept)} ALLOW_CONNECTIONS false`,
      ],
    });
  } catch (error) {
    if (error instanceof CommitUnknown && (await isSwitched(target, ticket.id))) {
      return Math.round(performance.now() - startedAt);
    }
    throw error;
  } finally {
    await switcher.close();
  }
}

async function isSwitched(target: Target, ticketId: string): Promise<boolean> {
  const session = await openMaintenance(target, {
    signal: AbortSignal.timeout(cleanUpMs),
    applicationName,
  }).catch(() => undefined);
  if (!session) return false;
  try {
    return (await findRestoreDatabases(session, target, ticketId)).kept;
  } catch {
    return false;
  } finally {
    await session.close();
  }
}

async function restoreInPlace(work: Work, plan: Plan): Promise<RestoreReport> {
  const { target, ticket } = work;
  const guard = createGuard({ ...plan.place, roles: plan.roles, inPlace: true });
  let transactionId = '';
  const beforeCommit = async (id: string) => {
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    transactionId = id;
  };
  ticket.onPhase('transferring');
  try {
    await withTools(work, plan, target.database, (options) =>
      loadInPlace(work.bytes, guard, options, beforeCommit),
    );
  } catch (error) {
    if (transactionId === '' || !(await isCommitted(target, transactionId))) throw error;
  }
  if (!(await isCommitted(target, transactionId))) {
    throw new ForestayError(
      'ToolFailed',
      'The server did not commit the restore; the data is what it was before.',
    );
  }
  return {
    method: 'in place',
    switchMs: null,
    undoable: false,
    notKept: [...plan.notKept, ...failuresOf(guard, plan)],
  };
}

async function isCommitted(target: Target, transactionId: string): Promise<boolean> {
  const session = await openSession(target, {
    signal: AbortSignal.timeout(cleanUpMs),
    applicationName,
  }).catch(() => undefined);
  if (!session) return false;
  try {
    const deadline = Date.now() + cleanUpMs;
    for (;;) {
      const [row] = await session.query<{ status: string }>('SELECT txid_status($1::bigint) AS status', [
        transactionId,
      ]);
      if (row?.status !== 'in progress' || Date.now() > deadline) return row?.status === 'committed';
    }
  } catch {
    return false;
  } finally {
    await session.close();
  }
}

function failuresOf(guard: Guard, plan: Plan): string[] {
  return describeFailures(guard.failures(), { role: plan.place.role, roles: plan.roles });
}

async function withMaintenance<T>(work: Work, use: Parameters<typeof withSession<T>>[2]): Promise<T> {
  const session = await openMaintenance(work.target, work);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

async function withTools(
  work: Work,
  plan: Plan,
  database: string,
  load: (options: LoadOptions) => Promise<void>,
): Promise<void> {
  const { applicationName: sessions, target, archive, stallMs, signal } = work;
  const environment = await openToolEnvironment(target, {
    applicationName: sessions,
    database,
    settings: plan.settings,
  });
  const watch = watchForStall({ target, sessions, tool: 'pg_restore', stallMs, signal });
  try {
    const { tools, args } = plan;
    await load({ tools, env: environment.env, watch, args, archive, jobs: target.parallel ?? 1 });
  } catch (error) {
    throw watch.signal.aborted ? abortError(watch.signal) : error;
  } finally {
    watch.release();
    await environment.close();
  }
}

/** Cleaning up goes on after an abort, but not for ever; what it cannot do `settleRestore` does. */
const cleanUpMs = 20_000;

async function removeStaging(target: Target, staging: string): Promise<void> {
  try {
    const session = await openMaintenance(target, {
      signal: AbortSignal.timeout(cleanUpMs),
      applicationName,
    });
    try {
      await dropStaging(session, target, staging);
    } finally {
      await session.close();
    }
  } catch {
    // The reason the restore failed matters more, and is thrown; the leftover bears the name of its ticket.
  }
}
