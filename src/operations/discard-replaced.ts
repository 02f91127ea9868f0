import { findInstanceById, type Instance } from '../db/instances.ts';
import { restoresKeptForUndo } from '../db/restores.ts';
import { endUndo } from '../db/undo.ts';
import { type Context, engineOf, openConnection } from './context.ts';

/** How long a database may take to drop what was kept, in milliseconds. */
const timeoutMs = 5 * 60 * 1000;

/** Discards what restores of an instance replaced: when the next one has taken their place, or the time for an undo is over. */
export async function discardReplacedData(
  context: Context,
  instance: Instance,
  options: { exceptRestoreId?: number; keptUntil?: Date; signal?: AbortSignal } = {},
): Promise<void> {
  const engine = engineOf(context, instance.engine);
  for (const restore of await restoresKeptForUndo(context.db, instance.id)) {
    if (restore.id === options.exceptRestoreId) continue;
    if (options.keptUntil && restore.undoUntil && restore.undoUntil > options.keptUntil) continue;
    try {
      const timeout = AbortSignal.timeout(timeoutMs);
      const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
      await engine.undo?.discard(openConnection(context, instance), restore.ticketId, signal);
      await context.db.transaction().execute((trx) => endUndo(trx, restore.id, null));
    } catch (error) {
      if (options.signal?.aborted) throw error;
      // The row still says that the data is kept, so the sweep comes back to it when the time for an undo is over.
      context.log.warn({ err: error, restore_id: restore.id }, 'replaced data could not be discarded yet');
    }
  }
}

/** Discards whatever has been kept for long enough, of all instances. */
export async function discardExpiredUndo(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  const expired = (await restoresKeptForUndo(context.db)).filter(
    (restore) => restore.undoUntil && restore.undoUntil <= now,
  );
  for (const instanceId of new Set(expired.map((restore) => restore.instanceId))) {
    const instance = await findInstanceById(context.db, instanceId);
    if (instance) await discardReplacedData(context, instance, { keptUntil: now, signal });
  }
}
