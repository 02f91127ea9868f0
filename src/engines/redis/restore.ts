import type { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import { release } from '../../pipeline/release.ts';
import { untilAborted } from '../../pipeline/until-aborted.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import { CommandPipe } from './command-pipe.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { Loader } from './load.ts';
import { emptyMarked, sortDatabases } from './marker.ts';
import { watchMemory } from './memory-watch.ts';
import { assertRoom, type Plan, planRestore } from './plan.ts';
import { parseInfo } from './server.ts';
import { openSession, type Session } from './session.ts';
import { restoreSession, settleRestore, shrink } from './settle.ts';
import { claimDatabases, claimSince, type Staging, superseded, watchStaging } from './stage.ts';
import { type FunctionChange, holdsFunctions, switchOver } from './switch.ts';

export interface RestoreOptions {
  readonly stallMs: number;
  readonly splitFrom?: number;
}

/** Builds the data in databases that nobody uses, checks it, and exchanges them; see docs/engines/redis.md. */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<RestoreReport> {
  try {
    ticket.onPhase('preparing');
    const name = restoreSession(ticket.id, ticket.attempt);
    const session = await openSession(target, { signal, name, silenceMs: options.stallMs });
    try {
      return await stageAndSwitch(session, bytes, ticket, options, signal);
    } catch (error) {
      session.close();
      if (!(await hasSwitched(target, ticket))) throw error;
      return { method: 'staged', switchMs: null, undoable: true, notKept: [notKnown] };
    } finally {
      session.close();
    }
  } catch (error) {
    // Errors of `bytes` (a damaged backup, an abort) are in the catalogue already and stay what they are.
    if (signal.aborted) throw abortError(signal);
    throw translateError(error, 'The restore failed');
  } finally {
    bytes.destroy();
  }
}

const notKnown =
  'What could not be kept is not known: the connection was lost while the databases were exchanged.';

async function stageAndSwitch(
  session: Session,
  bytes: Readable,
  ticket: RestoreTicket,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<RestoreReport> {
  const plan = await planRestore(session, ticket.source);
  assertRoom(plan);
  const { own, marked } = await forgetOthers(session, ticket.id);
  const restored = plan.details.databases.map(({ db }) => db);
  // Keys of which some may be thrown out at any time are no copy to go back to.
  const mayKeep = !plan.server.policy.startsWith('allkeys');
  const claimed = await claimDatabases(session, ticket, { restored, own, marked, mayKeep });
  ticket.onPhase('transferring');
  const loader = await load(session, bytes, plan, claimed, options, signal);
  ticket.onPhase('verifying');
  await verify(session, plan, loader, claimed);
  const staging = await claimSince(session, ticket, claimed);
  const functions = await planFunctions(session, plan, loader);
  if (functions && staging.toEmpty.length > 0) throw tooFewForFunctions();
  await watchStaging(session, ticket, staging);
  ticket.onPhase('switching');
  await ticket.beforeSwitch();
  if (signal.aborted) throw abortError(signal);
  const switchMs = await switchOver(session, ticket, staging, functions);
  if (!staging.keeps) await dropReplaced(session, ticket);
  return {
    method: 'staged',
    switchMs,
    undoable: staging.keeps,
    notKept: [...plan.notKept, ...loader.loaded.notKept],
  };
}

/** Of an earlier restore that kept nothing there may be a note that it had switched; nobody will ask for it any more. */
async function forgetOthers(
  session: Session,
  ticketId: string,
): Promise<{ own: number[]; marked: number[] }> {
  const { marked, own } = await sortDatabases(session);
  for (const each of marked) {
    const { ticket, state, pairs } = each.marker;
    if (ticket !== ticketId && state === 'kept' && pairs === undefined) await emptyMarked(session, each);
  }
  return { own, marked: marked.map(({ db }) => db) };
}

async function load(
  session: Session,
  bytes: Readable,
  plan: Plan,
  { pairs }: Staging,
  options: RestoreOptions,
  signal: AbortSignal,
): Promise<Loader> {
  const pipe = new CommandPipe(session);
  const memory = watchMemory(session, pipe, plan);
  const loader = new Loader(pipe, new Map(pairs.map(({ live, beside }) => [live, beside])), options);
  for await (const chunk of untilAborted<Buffer>(bytes, signal)) {
    loader.feed(chunk);
    release(chunk);
    if (!loader.isWithinCommand) await memory.look();
    await pipe.ready();
  }
  loader.assertWhole();
  await pipe.settle();
  return loader;
}

/**
 * Every command was answered; the number of keys must say the same. Those that expire may have done so by now; that they
 * were not thrown out to save memory the server's count of those says.
 */
async function verify(session: Session, plan: Plan, { loaded }: Loader, { pairs }: Staging): Promise<void> {
  const stats = parseInfo(await session.text('INFO', 'stats'));
  if (Number(stats.get('evicted_keys') ?? 0) > plan.server.evictedKeys) throw evicted();
  const announced = new Map(plan.details.databases.map((each) => [each.db, each]));
  for (const { live, beside } of pairs) {
    const found = loaded.keys.get(live) ?? { keys: 0, expiring: 0 };
    await session.command('SELECT', beside);
    // Without the marker.
    const there = Number(await session.command('DBSIZE')) - 1;
    if (there < 0) throw superseded();
    if (
      there <= found.keys &&
      there >= found.keys - found.expiring &&
      announced.has(live) === loaded.keys.has(live)
    )
      continue;
    throw new ForestayError(
      'InstanceBusy',
      `Database ${beside}, in which database ${live} was built, holds ${there} keys instead of ${found.keys}.`,
      { hint: 'Somebody else writes into it, or removes keys. Nothing was changed.' },
    );
  }
}

/** Undefined where the functions are the same, none on either side above all. */
async function planFunctions(
  session: Session,
  { server }: Plan,
  loader: Loader,
): Promise<FunctionChange | undefined> {
  const after = loader.functionsPayload();
  if (server.redisVersion[0] < 7) return undefined;
  const before = (await session.command('FUNCTION', 'DUMP')) as Buffer;
  const same = after ? after.equals(before) : !holdsFunctions(before);
  return same ? undefined : { before: Buffer.from(before), after };
}

async function dropReplaced(session: Session, ticket: RestoreTicket): Promise<void> {
  const { marked } = await sortDatabases(session);
  const own = marked.filter(({ marker }) => marker.ticket === ticket.id && marker.state === 'kept');
  // What cannot be removed now is removed when the restore is settled, or by the next one.
  for (const each of own) await shrink(session, each, own).catch(() => {});
}

/** Cleaning up goes on after an abort, but not for ever; what it cannot do `settleRestore` does. */
const cleanUpMs = 20_000;

/** Removes what this attempt staged. It may have switched although it failed: the answer was lost, then. */
async function hasSwitched(target: Target, { id, attempt }: RestoreTicket): Promise<boolean> {
  try {
    return (await settleRestore(target, id, AbortSignal.timeout(cleanUpMs), attempt)) === 'switched';
  } catch {
    // The reason the restore failed matters more, and is thrown.
    return false;
  }
}

function evicted(): ForestayError {
  return new ForestayError(
    'InstanceFull',
    'The server threw out keys to save memory while the new data was built; some of them may be of that.',
    { hint: 'Raise maxmemory for the time of the restore. Nothing was changed.' },
  );
}

function tooFewForFunctions(): ForestayError {
  return new ForestayError(
    'InstanceFull',
    'The backup changes functions, too, and there are too few free databases to do that and be able to take it back.',
    { hint: 'Raise databases in the configuration of the server. Nothing was changed.' },
  );
}
