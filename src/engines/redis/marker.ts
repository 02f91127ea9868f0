import { ReplyError } from './resp.ts';
import { usedDatabases } from './server.ts';
import type { Session } from './session.ts';

/**
 * Databases that a restore stages in, or keeps the replaced data in, hold this key among the others. It says whose they are;
 * without it a database is the instance's own. The name is the same for all restores, so that setting it claims a database.
 */
export const markerKey = 'forestay:restore:5b0f4c1e';

/**
 * `staging`: what is being built. `kept`: what a restore replaced, or, when it is not kept, the note that there was a switch.
 * `undone`: what an undo took away again.
 */
export type MarkerState = 'staging' | 'kept' | 'undone';

export interface Marker {
  readonly ticket: string;
  readonly attempt: number;
  readonly state: MarkerState;
  /** The instance's database that this one is to be, or was, exchanged with. */
  readonly live: number;
  /** Of a restore that keeps what it replaced: all its pairs of databases; an undo needs every one of them. */
  readonly pairs?: readonly Pair[];
  /** The replaced functions, as FUNCTION DUMP gave them, in base64; in the marker of the first pair, where they changed. */
  readonly functions?: string;
}

export interface Pair {
  /** The instance's own database. */
  readonly live: number;
  /** The one beside it. */
  readonly beside: number;
}

export interface Marked {
  readonly db: number;
  readonly marker: Marker;
  /** As it lies in the database. */
  readonly text: string;
}

/** All databases that hold keys: those of restores with their markers, and the instance's own. */
export async function sortDatabases(session: Session): Promise<{ marked: Marked[]; own: number[] }> {
  const marked: Marked[] = [];
  const own: number[] = [];
  for (const db of await usedDatabases(session)) {
    await session.command('SELECT', db);
    const found = await readMarker(session);
    if (found) marked.push({ db, ...found });
    else own.push(db);
  }
  return { marked, own };
}

/** Of the database that the session has selected. A key of that name that says something else is a user's. */
export async function readMarker(session: Session): Promise<{ marker: Marker; text: string } | undefined> {
  const reply = await session.command('GET', markerKey).catch((error: unknown) => {
    if (error instanceof ReplyError && error.message.startsWith('WRONGTYPE')) return null;
    throw error;
  });
  if (!Buffer.isBuffer(reply)) return undefined;
  const text = reply.toString('utf8');
  const marker = parseMarker(text);
  return marker && { marker, text };
}

export function isOf(marker: Marker, ticketId: string, attempt?: number): boolean {
  return marker.ticket === ticketId && (attempt === undefined || marker.attempt === attempt);
}

function parseMarker(text: string): Marker | undefined {
  try {
    const value = JSON.parse(text) as Partial<Marker> | null;
    const states: readonly unknown[] = ['staging', 'kept', 'undone'];
    const isMarker =
      typeof value?.ticket === 'string' && typeof value.live === 'number' && states.includes(value.state);
    return isMarker ? (value as Marker) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Empties a database if the marker in it is still this one, in one step: whoever holds on to an older marker, and be it for
 * hours, finds that nothing happens. By a script, because a server that is out of memory takes no transactions.
 */
export async function emptyMarked(session: Session, { db, text }: Marked): Promise<void> {
  await session.command('SELECT', db);
  await session.command('EVAL', emptyScript, 1, markerKey, text);
}

const emptyScript =
  "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('FLUSHDB', 'ASYNC') else return 0 end";
