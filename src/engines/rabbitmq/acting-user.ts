import { randomBytes } from 'node:crypto';
import type { Api } from './api.ts';
import { isObject, type Json } from './json.ts';

/** Everything of a restore at the broker bears its ticket. */
const prefixOf = (ticketId: string) => `forestay-${ticketId.toLowerCase()}`;
export const journalName = prefixOf;
/** A user that only holds the key of the journal. */
export const journalKeyName = (ticketId: string) => `${prefixOf(ticketId)}-key`;

/** Cleaning up goes on after an abort, but not for ever. */
export const cleanUpMs = 60_000;

/**
 * Changes are made by a user of their own, whose password nobody knows but this process, and who is deleted at the end.
 * It is the right to change the broker: `endActingUsers` takes it away, also from a process that is frozen and wakes up later.
 */
export async function withActingUser<T>(
  own: Api,
  { ticketId, role }: { readonly ticketId: string; readonly role: string },
  work: (acting: Api, name: string) => Promise<T>,
): Promise<T> {
  const name = `${prefixOf(ticketId)}-${role}`;
  const password = randomBytes(24).toString('base64url');
  using cleaning = own.as({ signal: AbortSignal.timeout(cleanUpMs) });
  try {
    await own.put(['users', name], { password, tags: 'administrator' });
    using acting = own.as({ login: { username: name, password } });
    return await work(acting, name);
  } finally {
    // What fails here `settleRestore` does.
    await cleaning.delete(['users', name]).catch(() => {});
  }
}

/** Resolves with how many there were. */
export async function endActingUsers(own: Api, ticketId: string): Promise<number> {
  const listed = await own.get(['users'], 'columns=name');
  const names = (Array.isArray(listed) ? (listed as readonly Json[]) : [])
    .map((user) => (isObject(user) ? String(user.name) : ''))
    .filter((name) => name.startsWith(`${prefixOf(ticketId)}-`) && name !== journalKeyName(ticketId));
  for (const name of names) await own.delete(['users', name]);
  return names.length;
}
