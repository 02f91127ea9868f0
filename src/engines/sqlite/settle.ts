import { rm } from 'node:fs/promises';
import { endMarkedProcesses } from '../../pipeline/marked-processes.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { markOf } from './exchange.ts';
import { filesOf } from './names.ts';
import { findPlace } from './place.ts';

/**
 * First what was staged is removed: an attempt that is frozen before it copies finds nothing to copy when it wakes. Then the
 * copying that goes on is ended (SQLite itself takes back what it had done), and only then is looked whether it was done.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  try {
    const place = await findPlace(target);
    const { staged } = await filesOf(place, ticketId);
    for (const file of staged) await rm(file, { force: true });
    await endMarkedProcesses(markOf(ticketId), signal);
    const { kept, others } = await filesOf(place, ticketId);
    for (const file of others) await rm(file, { force: true });
    return kept === undefined ? 'clean' : 'switched';
  } catch (error) {
    throw translateError(error, 'An interrupted restore could not be cleaned up');
  }
}
