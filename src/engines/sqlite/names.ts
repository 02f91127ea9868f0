import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Place } from '../roots.ts';

/** Names of what Forestay makes in the folder of a database. Several databases may lie in one: tickets tell theirs apart. */
const ofTicket = (ticketId: string) => `.forestay-restore-${ticketId.replaceAll('-', '').toLowerCase()}-`;

/** What a backup reads from. */
export function copyFile({ parent }: Place): string {
  return path.join(parent, `.forestay-copy-${randomBytes(8).toString('hex')}.sqlite`);
}

export interface AttemptFiles {
  /** What the attempt was sent: what is to become the instance's data. */
  readonly staged: string;
  /** A copy of what the attempt is about to replace. */
  readonly replaced: string;
  /** The same under the name it gets when it was replaced: there if and only if this attempt made the change. */
  readonly kept: string;
}

export function attemptFiles({ parent }: Place, ticketId: string, attempt: number): AttemptFiles {
  const name = path.join(parent, `${ofTicket(ticketId)}a${attempt}`);
  return { staged: `${name}.sqlite`, replaced: `${name}-before.sqlite`, kept: `${name}-kept.sqlite` };
}

/** What there is of all attempts of a restore. */
export interface TicketFiles {
  readonly staged: readonly string[];
  /** Of the one attempt that made the change. */
  readonly kept: string | undefined;
  /** Copies of attempts that made none, and journals. */
  readonly others: readonly string[];
}

export async function filesOf({ parent }: Place, ticketId: string): Promise<TicketFiles> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(ofTicket(ticketId)));
  const staged = names.filter((name) => /-a\d+\.sqlite$/.test(name));
  const kept = names.find((name) => name.endsWith('-kept.sqlite'));
  const others = names.filter((name) => !staged.includes(name) && !name.includes('-kept.sqlite'));
  const inFolder = (name: string) => path.join(parent, name);
  return { staged: staged.map(inFolder), kept: kept && inFolder(kept), others: others.map(inFolder) };
}
