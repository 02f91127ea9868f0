import { isIPv6 } from 'node:net';
import type { Kysely } from 'kysely';
import { ForestayError, hasCode } from '../core/errors.ts';
import { type AttemptWindow, countAttempt, uncountAttempt } from '../db/failed-attempts.ts';
import type { Tables } from '../db/schema.ts';

/** Slows down whoever tries many credentials or keys. What is valid always works: only failures count. */

const windowMs = 60_000;
export const maxFailedLogins = 20;
export const maxWrongKeys = 5;

/** Too many for now; `retryAfterSeconds` is when the window ends. */
export class TooManyAttempts extends ForestayError {
  readonly retryAfterSeconds: number;

  constructor(message: string, window: AttemptWindow, now: Date) {
    const seconds = Math.max(1, Math.ceil((window.firstAt.getTime() + windowMs - now.getTime()) / 1000));
    super('TooManyRequests', message, { hint: `Try again in ${seconds} seconds.` });
    this.retryAfterSeconds = seconds;
  }
}

/**
 * Counts a wrong credential; throws `TooManyRequests` once an address has sent too many within a minute. From then on this
 * process counts no more of them: writing each one down would let a stranger keep the database busy with refusals.
 */
export async function noteFailedLogin(db: Kysely<Tables>, address: string): Promise<void> {
  const now = new Date();
  const scope = `login:${networkOf(address)}`;
  const refused = refusedLogins(db);
  const known = refused.get(scope);
  if (known && now.getTime() < known.firstAt.getTime() + windowMs) throw tooManyLogins(known, now);
  refused.delete(scope);
  const window = await countAttempt(db, scope, now, windowMs);
  if (window.count <= maxFailedLogins) return;
  // Addresses are cheap to have many of: forgetting them all costs a write each, remembering them all costs memory.
  if (refused.size >= maxRefused) refused.clear();
  refused.set(scope, window);
  throw tooManyLogins(window, now);
}

const maxRefused = 10_000;
const refusedOf = new WeakMap<Kysely<Tables>, Map<string, AttemptWindow>>();

function refusedLogins(db: Kysely<Tables>): Map<string, AttemptWindow> {
  const refused = refusedOf.get(db) ?? new Map<string, AttemptWindow>();
  refusedOf.set(db, refused);
  return refused;
}

function tooManyLogins(window: AttemptWindow, now: Date): TooManyAttempts {
  return new TooManyAttempts('Too many wrong credentials.', window, now);
}

/**
 * Runs what tries a key against a backup, for one instance. The attempt is counted before it is made and taken back when
 * the key was not wrong, so that many at the same time are not all let through.
 */
export async function limitWrongKeys<T>(
  db: Kysely<Tables>,
  instanceGuid: string,
  attempt: () => Promise<T>,
): Promise<T> {
  const scope = `key:${instanceGuid}`;
  const now = new Date();
  const window = await countAttempt(db, scope, now, windowMs);
  if (window.count > maxWrongKeys) {
    throw new TooManyAttempts('Too many wrong encryption keys for this instance.', window, now);
  }
  let wrong = false;
  try {
    return await attempt();
  } catch (error) {
    wrong = hasCode(error, 'EncryptionKeyMismatch');
    throw error;
  } finally {
    if (!wrong) await uncountAttempt(db, scope);
  }
}

/** Whoever has one IPv6 address has the 2^64 of its network. */
export function networkOf(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(8 - front.length - back.length).fill('0');
  const groups = [...front, ...zeros, ...back].map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.slice(0, 4).join(':')}::/64`;
}
