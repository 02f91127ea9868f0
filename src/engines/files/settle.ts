import { settleFolder } from '../folder-restore.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { findPlace } from './place.ts';

/** Ends what earlier attempts may still do, and says whether one had switched. */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  try {
    return await settleFolder(await findPlace(target), ticketId, signal);
  } catch (error) {
    throw translateError(error, 'An interrupted restore could not be cleaned up');
  }
}
