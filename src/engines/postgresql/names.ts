/** Names of everything a restore makes at the server. A ticket id is a UUID, so none is longer than 63 bytes. */

/** What our own sessions are listed as, and what the names of all others of ours begin with. */
export const applicationName = 'forestay';

const compact = (ticketId: string) => ticketId.replaceAll('-', '').toLowerCase();

/** The database an attempt builds. */
export function stagingName(ticketId: string, attempt: number): string {
  return `forestay_${compact(ticketId)}_a${attempt}`;
}
/** What the names of the staging databases of all attempts begin with. */
export function stagingPrefix(ticketId: string): string {
  return `forestay_${compact(ticketId)}_a`;
}
/** The replaced database, kept for an undo. It exists if and only if the restore switched. */
export function keptName(ticketId: string): string {
  return `forestay_${compact(ticketId)}_before`;
}
/** The restored database, after an undo and before it is dropped. */
export function undoneName(ticketId: string): string {
  return `forestay_${compact(ticketId)}_undone`;
}

/** What all sessions of a restore are listed as, whichever attempt they belong to. */
export function sessionPrefix(ticketId: string): string {
  return `forestay-${ticketId.toLowerCase()}`;
}
export function sessionName(ticketId: string, attempt: number): string {
  return `${sessionPrefix(ticketId)}-a${attempt}`;
}
