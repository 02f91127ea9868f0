import { statePrefix } from '../core/site-state.ts';
import { isFinished } from '../core/task.ts';
import { type Backup, listAllBackups } from '../db/backups.ts';
import { findInstanceById, type Instance, listInstances } from '../db/instances.ts';
import { describeRestore, markSettled, unsettledRestores } from '../db/restores.ts';
import { completeTask } from '../db/tasks.ts';
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts';
import type { Context } from './context.ts';
import { discardExpiredUndo } from './discard-replaced.ts';
import { doctorPrefix } from './examine.ts';
import { switchedEarlier, undoLimit } from './run-restore.ts';

/** Objects younger than this are left alone, whatever they look like: somebody may be writing them. */
export const orphanAgeMs = 24 * 60 * 60 * 1000;
const settleMs = 60_000;

/**
 * Promise 4, no orphan for longer than a day: removes what a crash left behind although every failure cleans up after
 * itself. What it does not recognise as this site's own it leaves alone.
 */
export async function sweep(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  await settleRestores(context, signal);
  await discardExpiredUndo(context, now, signal);
  const before = new Date(now.getTime() - orphanAgeMs);
  const instances = await listInstances(context.db);
  const isOurs = recognise(context, instances);
  for (const store of context.stores) {
    try {
      for (const instance of instances) await removeOrphans(context, store, instance, before, signal);
      await store.removeAbandonedPuts?.({ before, isOurs, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      // The other stores need not wait for one that is away.
      context.log.warn({ err: error, store: store.name }, 'a store could not be swept');
    }
  }
}

/** Another site may use the same store: what it puts is its own affair, even when it is old. */
function recognise(context: Context, instances: readonly Instance[]): (key: string) => boolean {
  const ours = new Set(instances.map(({ backupGuid }) => backupGuid));
  const ourState = statePrefix(context.siteId);
  return (key) =>
    ours.has(key.split('/', 1)[0] ?? '') || key.startsWith(ourState) || key.startsWith(doctorPrefix);
}

/** Removes the staging of restores that failed when nobody could, or completes them when they turn out to have switched. */
async function settleRestores(context: Context, signal: AbortSignal): Promise<void> {
  for (const restore of await unsettledRestores(context.db)) {
    signal.throwIfAborted();
    try {
      const instance = (await findInstanceById(context.db, restore.instanceId))!;
      const limited = AbortSignal.any([signal, AbortSignal.timeout(settleMs)]);
      const report = await switchedEarlier(context, instance, restore, limited);
      await context.db.transaction().execute(async (trx) => {
        if (report) {
          await completeTask(trx, restore.task.id);
          await describeRestore(trx, restore.id, {
            ...report,
            undoUntil: undoLimit(report, restore.task.statusChangedAt),
          });
        }
        await markSettled(trx, restore.id);
      });
    } catch (error) {
      if (signal.aborted) throw error;
      context.log.warn(
        { err: error, restore_id: restore.id },
        'staging of a restore could not be removed yet',
      );
    }
  }
}

async function removeOrphans(
  context: Context,
  store: ObjectStore,
  instance: Instance,
  before: Date,
  signal: AbortSignal,
): Promise<void> {
  const known = new Map(
    (await listAllBackups(context.db, instance.id)).map((backup) => [backup.backupId, backup]),
  );
  const orphans: string[] = [];
  for await (const object of store.list(`${instance.backupGuid}/`, signal)) {
    if (object.modifiedAt <= before && isOrphan(object, known)) orphans.push(object.key);
  }
  // Manifests first: what has none is no backup, and is not mistaken for one while the rest goes.
  orphans.sort((a, b) => Number(b.endsWith('/manifest.json')) - Number(a.endsWith('/manifest.json')));
  if (orphans.length === 0) return;
  await store.delete(orphans, signal);
  context.log.info(
    { instance_id: instance.guid, store: store.name, objects: orphans.length },
    'orphans removed from a store',
  );
}

/** Objects of a backup whose row says that it has ended and does not have them. A row comes before its objects, always. */
function isOrphan(object: ObjectInfo, known: ReadonlyMap<string, Backup>): boolean {
  const [, backupId = '', name = '', ...more] = object.key.split('/');
  const backup = known.get(backupId);
  if (!backup || more.length > 0 || !/^(manifest\.json|data(-\d+)?)$/.test(name)) return false;
  if (!isFinished(backup.task.status)) return false;
  return backup.task.status !== 'done' || (name !== 'manifest.json' && name !== backup.dataName);
}
