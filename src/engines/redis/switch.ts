import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import { type Marker, markerKey, type Pair, sortDatabases } from './marker.ts';
import { type Argument, encodeCommand, type Reply, ReplyError } from './resp.ts';
import type { Session } from './session.ts';
import { type Staging, superseded } from './stage.ts';

/** What functions are there and what there shall be, as FUNCTION DUMP and FUNCTION RESTORE have it. */
export interface FunctionChange {
  readonly before: Buffer;
  /** Undefined: none. */
  readonly after: Buffer | undefined;
}

/**
 * Exchanges the databases, in one transaction: for everybody else at one moment, and for a server that is killed either all or
 * nothing. The session must watch the markers (`watchStaging`). Resolves with the milliseconds it took.
 */
export async function switchOver(
  session: Session,
  ticket: RestoreTicket,
  staging: Staging,
  functions: FunctionChange | undefined,
): Promise<number> {
  const { pairs, keeps, held } = staging;
  const commands: Argument[][] = [
    ...functionCommands(functions?.after, functions !== undefined),
    ...pairs.map(({ live, beside }) => ['SWAPDB', live, beside]),
    ...staging.toEmpty.flatMap((db) => [
      ['SELECT', db],
      ['FLUSHDB', 'ASYNC'],
    ]),
  ];
  for (const [index, { live, beside }] of pairs.entries()) {
    const marker: Marker = {
      ticket: ticket.id,
      attempt: ticket.attempt,
      state: 'kept',
      live,
      ...(keeps ? { pairs } : {}),
      ...(keeps && functions && index === 0 ? { functions: functions.before.toString('base64') } : {}),
    };
    commands.push(
      ['SELECT', live],
      ['DEL', markerKey],
      ['SELECT', beside],
      // What an earlier restore kept there must not come back as the instance's own with an undo of this one.
      ...(held.includes(live) ? [['FLUSHDB', 'ASYNC']] : []),
      ['SET', markerKey, JSON.stringify(marker)],
    );
  }
  return transaction(session, commands, pairs);
}

/** Puts back what a restore replaced. Whatever else was written since goes with the restored data. */
export async function switchBack(
  session: Session,
  { ticket, attempt, pairs = [], functions }: Marker,
): Promise<void> {
  const { own } = await sortDatabases(session);
  const sinceUsed = own.filter((db) => !pairs.some(({ live }) => live === db));
  const before = functions === undefined ? undefined : Buffer.from(functions, 'base64');
  const commands: Argument[][] = [
    ...functionCommands(before && holdsFunctions(before) ? before : undefined, before !== undefined),
    ...pairs.map(({ live, beside }) => ['SWAPDB', live, beside]),
    ...sinceUsed.flatMap((db) => [
      ['SELECT', db],
      ['FLUSHDB', 'ASYNC'],
    ]),
    ...pairs.flatMap(({ live, beside }) => {
      const marker: Marker = { ticket, attempt, state: 'undone', live };
      return [
        ['SELECT', live],
        ['DEL', markerKey],
        ['SELECT', beside],
        ['SET', markerKey, JSON.stringify(marker)],
      ];
    }),
  ];
  await transaction(session, commands, pairs);
}

/** An end of ten bytes (a version and a checksum), and nothing before it: no functions. */
export function holdsFunctions(payload: Buffer): boolean {
  return payload.length > 10;
}

/** First in a transaction: of all its commands it is the only one that could fail when everything else is as it was checked. */
function functionCommands(payload: Buffer | undefined, changes: boolean): Argument[][] {
  if (!changes) return [];
  return [payload ? ['FUNCTION', 'RESTORE', payload, 'FLUSH'] : ['FUNCTION', 'FLUSH']];
}

async function transaction(
  session: Session,
  commands: readonly Argument[][],
  pairs: readonly Pair[],
): Promise<number> {
  // By itself: were it refused, the server would run what follows command by command.
  await session.command('MULTI');
  const startedAt = performance.now();
  const { queued, executed } = await queueAndExecute(session, commands);
  const switchMs = Math.round(performance.now() - startedAt);
  // A command that is refused while it is queued makes EXEC refuse everything; its own words say why.
  if (executed instanceof ReplyError) throw queued.find((reply) => reply instanceof ReplyError) ?? executed;
  if (executed === null) throw superseded();
  const replies = executed as readonly Reply[];
  const failed = replies.findIndex((reply) => reply instanceof ReplyError);
  if (failed === -1) return switchMs;
  const error = replies[failed] as ReplyError;
  if (commands[failed]?.[0] !== 'FUNCTION') throw error;
  await takeBack(session, pairs);
  throw functionsDoNotLoad(error);
}

function queueAndExecute(
  session: Session,
  commands: readonly Argument[][],
): Promise<{ queued: Reply[]; executed: Reply }> {
  return new Promise((resolve, reject) => {
    const queued: Reply[] = [];
    const take = (reply: Reply) => {
      if (queued.length === commands.length) resolve({ queued, executed: reply });
      else queued.push(reply);
    };
    session.send([...commands, ['EXEC']].map(encodeCommand), commands.length + 1, take, reject);
  });
}

/**
 * Redis goes on after a command of a transaction that fails. Only FUNCTION RESTORE can (a library that does not load here); it
 * leaves the functions as they were. Then the databases are exchanged back, and what was restored is gone.
 */
async function takeBack(session: Session, pairs: readonly Pair[]): Promise<void> {
  const commands = pairs.flatMap(({ live, beside }): Argument[][] => [
    ['SWAPDB', live, beside],
    ['SELECT', live],
    ['DEL', markerKey],
    ['SELECT', beside],
    ['FLUSHDB', 'ASYNC'],
  ]);
  await transaction(session, commands, []);
}

function functionsDoNotLoad({ message }: ReplyError): ForestayError {
  return new ForestayError(
    'IncompatibleBackup',
    `The functions of the backup do not load here: ${message.slice(0, 300)}`,
    { hint: 'Restore into a server of the version that the backup is of. Nothing was changed.' },
  );
}
