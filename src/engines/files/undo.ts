import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { exists, repair, whatIsHeld } from './container.ts';
import { translateError } from './errors.ts';
import { keptContainer } from './names.ts';
import { findPlace } from './place.ts';
import { removeTree, takeAway } from './remove.ts';
import { containersOf } from './settle.ts';
import { swap } from './swap.ts';
import type { Programs } from './tools.ts';

/** Puts the replaced folder back under its name and removes the restored one. */
export async function undoRestore(
  target: Target,
  ticketId: string,
  tools: Programs,
  signal: AbortSignal,
): Promise<void> {
  try {
    const place = await findPlace(target);
    const kept = keptContainer(place, ticketId);
    await repair(kept, place.path);
    const held = await whatIsHeld(kept);
    if (held === 'nothing' && !(await exists(kept))) {
      throw new ForestayError(
        'UndoUnavailable',
        'The data that this restore replaced is not kept any more.',
        {
          hint: 'Restore the backup you need instead.',
        },
      );
    }
    // When it holds what was restored, an earlier undo got as far as the exchange.
    if (held === 'replaced') await swap(kept, place, tools.perl);
    const gone = await takeAway(kept, place, ticketId);
    if (gone !== undefined) await removeTree(gone, signal);
  } catch (error) {
    throw translateError(error, 'The restore could not be undone');
  }
}

/** Removes the replaced folder, and what else a restore left. */
export async function discardReplaced(target: Target, ticketId: string, signal: AbortSignal): Promise<void> {
  try {
    const place = await findPlace(target);
    for (const container of await containersOf(place, ticketId)) {
      await repair(container, place.path);
      const gone = await takeAway(container, place, ticketId);
      if (gone !== undefined) await removeTree(gone, signal);
    }
  } catch (error) {
    throw translateError(error, 'The replaced data could not be discarded');
  }
}
