import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import { isOf, type Marker, markerKey, type Pair, readMarker, sortDatabases } from './marker.ts';
import { ReplyError } from './resp.ts';
import type { Session } from './session.ts';

/** Databases that a restore builds in. */
export interface Staging {
  /** Each of the instance's databases that is to change, with the one beside it. */
  readonly pairs: readonly Pair[];
  /** Of the instance's databases that are to become empty, where there is none to keep what is in them. */
  readonly toEmpty: readonly number[];
  /** Whether what is replaced can be kept. */
  readonly keeps: boolean;
  /** Databases that are to change and hold what an earlier restore keeps, which is nothing of the instance's. */
  readonly held: readonly number[];
}

/**
 * Claims databases that nobody uses: one for each of the backup's, and, so that what is replaced can be kept, one for each
 * other that the instance uses. Throws `InstanceFull` when there are too few for the first.
 */
export async function claimDatabases(
  session: Session,
  ticket: RestoreTicket,
  wanted: {
    readonly restored: readonly number[];
    readonly own: readonly number[];
    /** Those of earlier restores. */
    readonly marked: readonly number[];
    readonly mayKeep: boolean;
  },
): Promise<Staging> {
  const count = await countDatabases(session);
  const beyond = wanted.restored.find((db) => db >= count);
  if (beyond !== undefined) {
    throw new ForestayError(
      'InstanceRefused',
      `The backup holds database ${beyond}; the server has ${count} databases.`,
      {
        hint: `Set databases in the configuration of the server to ${count + beyond} or more and restart it.`,
      },
    );
  }
  const others = wanted.own.filter((db) => !wanted.restored.includes(db));
  // A pair there must be: its marker is all that tells, later, that functions were exchanged, and what they were.
  const replacedOnly = wanted.restored.length + others.length > 0 ? others : [0];
  const pairs: Pair[] = [];
  const free = freeDatabases(session, count, new Set([...wanted.restored, ...replacedOnly]));
  for (const live of wanted.restored) {
    const beside = await claimNext(session, ticket, free, live);
    if (beside === undefined) throw tooFew(wanted.restored.length, pairs.length, count);
    pairs.push({ live, beside });
  }
  const more = await claimWhereFree(session, ticket, free, replacedOnly);
  const all = [...pairs, ...more.pairs];
  return {
    pairs: all,
    toEmpty: more.toEmpty,
    keeps: wanted.mayKeep && more.toEmpty.length === 0,
    held: all.map(({ live }) => live).filter((db) => wanted.marked.includes(db)),
  };
}

/** The same for databases that the instance began to use while the new data was built: they, too, are replaced. */
export async function claimSince(
  session: Session,
  ticket: RestoreTicket,
  staging: Staging,
): Promise<Staging> {
  const { own } = await sortDatabases(session);
  const known = [...staging.pairs.map(({ live }) => live), ...staging.toEmpty];
  const since = own.filter((db) => !known.includes(db));
  if (since.length === 0) return staging;
  const free = freeDatabases(session, await countDatabases(session), new Set([...known, ...own]));
  const { pairs, toEmpty } = await claimWhereFree(session, ticket, free, since);
  return {
    ...staging,
    pairs: [...staging.pairs, ...pairs],
    toEmpty: [...staging.toEmpty, ...toEmpty],
    keeps: staging.keeps && toEmpty.length === 0,
  };
}

async function claimWhereFree(
  session: Session,
  ticket: RestoreTicket,
  free: AsyncGenerator<number>,
  databases: readonly number[],
): Promise<{ pairs: Pair[]; toEmpty: number[] }> {
  const pairs: Pair[] = [];
  const toEmpty: number[] = [];
  for (const live of databases) {
    const beside = await claimNext(session, ticket, free, live);
    if (beside === undefined) toEmpty.push(live);
    else pairs.push({ live, beside });
  }
  return { pairs, toEmpty };
}

/** As SELECT tells it: the right to read the configuration is rarely given away. */
export async function countDatabases(session: Session): Promise<number> {
  const exists = async (db: number) => {
    try {
      await session.command('SELECT', db);
      return true;
    } catch (error) {
      if (error instanceof ReplyError && /out of range|invalid DB index/i.test(error.message)) return false;
      throw error;
    }
  };
  let some = 1;
  while (some < mostDatabases && (await exists(some))) some *= 2;
  let [there, gone] = [Math.floor(some / 2), some];
  while (gone - there > 1) {
    const middle = Math.floor((there + gone) / 2);
    if (await exists(middle)) there = middle;
    else gone = middle;
  }
  return gone;
}

const mostDatabases = 2 ** 20;

/** From the last one downwards: applications count from the first one upwards. */
async function* freeDatabases(
  session: Session,
  count: number,
  except: ReadonlySet<number>,
): AsyncGenerator<number> {
  for (let db = count - 1; db >= 0; db--) {
    if (except.has(db)) continue;
    await session.command('SELECT', db);
    if ((await session.command('DBSIZE')) === 0) yield db;
  }
}

async function claimNext(
  session: Session,
  ticket: RestoreTicket,
  free: AsyncGenerator<number>,
  live: number,
): Promise<number | undefined> {
  const text = stagingText(ticket, live);
  for (;;) {
    const { value: db, done } = await free.next();
    if (done) return undefined;
    // The session has this database selected.
    if ((await session.command('SET', markerKey, text, 'NX')) === null) continue;
    if ((await session.command('DBSIZE')) === 1) return db;
    // Somebody began to use it just now.
    await session.command('DEL', markerKey);
  }
}

/** What the marker of a database says that an attempt builds in. */
export function stagingText(ticket: RestoreTicket, live: number): string {
  const marker: Marker = { ticket: ticket.id, attempt: ticket.attempt, state: 'staging', live };
  return JSON.stringify(marker);
}

/** Makes the session's next EXEC fail if any of the databases is taken away from this attempt. Throws when one was. */
export async function watchStaging(session: Session, ticket: RestoreTicket, staging: Staging): Promise<void> {
  for (const { beside } of staging.pairs) {
    await session.command('SELECT', beside);
    await session.command('WATCH', markerKey);
    const found = await readMarker(session);
    if (!found || !isOf(found.marker, ticket.id, ticket.attempt)) throw superseded();
  }
}

export function superseded(): ForestayError {
  return new ForestayError(
    'AttemptSuperseded',
    'What this attempt had staged is gone: another one has taken over, or somebody emptied the server.',
  );
}

function tooFew(needed: number, found: number, count: number): ForestayError {
  return new ForestayError(
    'InstanceFull',
    `A restore needs ${needed} databases that nobody uses to build the new data in; ${found} of the server's ${count} are free.`,
    {
      hint: 'Raise databases in the configuration of the server, or discard what an earlier restore keeps for its undo. Nothing was changed.',
    },
  );
}
