import type { Instance } from '../db/instances.ts';
import { findInstanceById } from '../db/instances.ts';
import { endUndo, restoresKeptForUndo } from '../db/restores.ts';
import { type Context, engineOf, openConnection } from './context.ts';

/** How long a database may take to drop what was kept, in milliseconds. */
const timeoutMs = 5 * 60 * 1000;

/** Discards what earlier restores of an instance replaced: the next restore has taken their place. */
export async function discardReplacedData(
  context: Context,
  instance: Instance,
  options: { exceptRestoreId?: number; keptUntil?: Date } = {},
): Promise<void> {
  const engine = engineOf(context, instance.engine);
  for (const restore of await restoresKeptForUndo(context.db, instance.id)) {
    if (restore.id === options.exceptRestoreId) continue;
    if (options.keptUntil && restore.undoUntil && restore.undoUntil > options.keptUntil) continue;
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      await engine.undo?.discard(openConnection(context, instance), restore.ticketId, signal);
      await context.db.transaction().execute((trx) => endUndo(trx, restore.id, null));
    } catch (error) {
      // The row still says that the data is kept, so the hourly sweep comes back to it.
      context.log.warn({ err: error, restore_id: restore.id }, 'replaced data could not be discarded yet');
    }
  }
}

/** Discards whatever has been kept for long enough, of all instances. */
export async function discardExpiredUndo(context: Context, now: Date): Promise<void> {
  const expired = (await restoresKeptForUndo(context.db)).filter(
    (restore) => restore.undoUntil && restore.undoUntil <= now,
  );
  for (const instanceId of new Set(expired.map((restore) => restore.instanceId))) {
    const instance = await findInstanceById(context.db, instanceId);
    if (instance) await discardReplacedData(context, instance, { keptUntil: now });
  }
}
