/** Names of everything a restore makes at the server. A ticket id is a UUID, so none is longer than 64 characters. */

const compact = (ticketId: string) => ticketId.replaceAll('-', '').toLowerCase();

/** What the names of all schemas of restores begin with; a role may be given rights on them by `forestay\_%`. */
export const schemaPrefix = 'forestay_';

/** The schema an attempt builds. */
export function stagingName(ticketId: string, attempt: number): string {
  return `${stagingPrefix(ticketId)}${attempt}`;
}
/** What the names of the staging schemas of all attempts begin with. */
export function stagingPrefix(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}_a`;
}
/** The replaced tables, kept for an undo, and the journal of the switch. */
export function keptName(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}_before`;
}
/** The restored tables after an undo, before they are dropped, and the journal of the undo. */
export function undoneName(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}_undone`;
}

/** A table in the schema that takes the old tables; its rows say how to finish an exchange. */
export function journalTable(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}_journal`;
}
/** An empty table that goes where the old tables go, in the same statement: it is there if and only if they are. */
export function markerTable(ticketId: string, kind: 'switched' | 'undone'): string {
  return `${schemaPrefix}${compact(ticketId)}_${kind}`;
}
/** Names that tables with triggers bear for a moment: `o` those on their way out, `n` those on their way in. */
export function passingName(ticketId: string, way: 'o' | 'n', index: number): string {
  return `${schemaPrefix}${compact(ticketId)}_${way}${index}`;
}

/** User-level locks that the sessions of a restore hold: by them they are found and ended. */
export function mainLock(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}`;
}
export function loadLock(ticketId: string): string {
  return `${schemaPrefix}${compact(ticketId)}_load`;
}
