import { hasCode, toForestayError } from '../core/errors.ts';
import { inParallel } from '../core/in-parallel.ts';
import { dataKey, type Manifest, manifestKey } from '../core/manifest.ts';
import { isFinished } from '../core/task.ts';
import { type Backup, listAllBackups } from '../db/backups.ts';
import { doneCopies } from '../db/copies.ts';
import { type Instance, listInstances } from '../db/instances.ts';
import { verifyManifest } from '../pipeline/signature.ts';
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts';
import { type Context, openKey } from './context.ts';
import { readManifest, storedBytes } from './stored-backup.ts';

/** Backups looked at once. */
const atOnce = 8;

/** Where the catalogue and a store do not agree. */
export interface Discrepancy {
  readonly store: string;
  /** The object. */
  readonly key: string;
  /** `missing`: the catalogue knows it, the store does not. `orphaned`: the other way round. `size`, `digest`, `manifest`: is not what it should be. */
  readonly problem: 'missing' | 'orphaned' | 'size' | 'digest' | 'manifest';
  readonly detail: string;
}

export interface CheckReport {
  readonly stores: readonly { store: string; objects: number; ofOthers: number }[];
  /** Backups and copies that should be there. */
  readonly checked: number;
  readonly discrepancies: readonly Discrepancy[];
}

export interface CheckOptions {
  /** Read all data and check its digests, too. */
  readonly read: boolean;
}

/** A backup that should lie in a store. */
interface Expected {
  readonly instance: Instance;
  readonly backup: Backup;
}

/**
 * Compares every store with the catalogue, both ways: is what the catalogue says is there, as it says; and is there anything of
 * this site that the catalogue does not know. What other sites have in the same store is only counted. Changes nothing.
 */
export async function checkCatalog(
  context: Pick<Context, 'db' | 'stores' | 'masterKey'>,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<CheckReport> {
  const instances = await listInstances(context.db);
  const backups = new Map<string, Expected>();
  for (const instance of instances) {
    for (const backup of await listAllBackups(context.db, instance.id))
      backups.set(backup.backupId, { instance, backup });
  }
  const stores: { store: string; objects: number; ofOthers: number }[] = [];
  const discrepancies: Discrepancy[] = [];
  let checked = 0;
  for (const [position, store] of context.stores.entries()) {
    const held = position === 0 ? undefined : await doneCopies(context.db, store.name);
    const expected = [...backups.values()].filter(
      ({ backup }) => backup.task.status === 'done' && (held?.has(backup.id) ?? true),
    );
    const { objects, ofOthers } = await surveyOwn(store, instances, signal);
    stores.push({ store: store.name, objects: objects.size + ofOthers, ofOthers });
    checked += expected.length;
    discrepancies.push(...orphansAmong(store, objects.keys(), backups));
    await inParallel(atOnce, expected, async (one) => {
      const problem = await checkOne(context, store, one, objects, options, signal);
      if (problem) discrepancies.push({ store: store.name, ...problem });
    });
  }
  return { stores, checked, discrepancies };
}

/** The objects under the GUIDs of this site's instances, and how many others there are. */
async function surveyOwn(
  store: ObjectStore,
  instances: readonly Instance[],
  signal: AbortSignal,
): Promise<{ objects: Map<string, ObjectInfo>; ofOthers: number }> {
  const own = new Set(instances.map(({ backupGuid }) => backupGuid));
  const objects = new Map<string, ObjectInfo>();
  let ofOthers = 0;
  for await (const object of store.list('', signal)) {
    if (own.has(object.key.split('/')[0] ?? '')) objects.set(object.key, object);
    else ofOthers += 1;
  }
  return { objects, ofOthers };
}

/** What is being written or copied just now is none. */
function orphansAmong(
  store: ObjectStore,
  keys: Iterable<string>,
  backups: ReadonlyMap<string, Expected>,
): Discrepancy[] {
  const orphans: Discrepancy[] = [];
  for (const key of keys) {
    const [, backupId = '', name = ''] = key.split('/');
    const backup = backups.get(backupId)?.backup;
    const orphaned = (detail: string) =>
      orphans.push({ store: store.name, key, problem: 'orphaned', detail });
    if (!backup) orphaned('The catalogue knows no such backup.');
    else if (!isFinished(backup.task.status)) continue;
    else if (backup.task.status !== 'done') orphaned(`The backup is ${backup.task.status}.`);
    else if (name !== 'manifest.json' && name !== backup.dataName)
      orphaned('It belongs to an attempt that was not the one that finished.');
  }
  return orphans;
}

async function checkOne(
  context: Pick<Context, 'db' | 'masterKey'>,
  store: ObjectStore,
  { instance, backup }: Expected,
  objects: ReadonlyMap<string, ObjectInfo>,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<Omit<Discrepancy, 'store'> | undefined> {
  signal.throwIfAborted();
  const manifestAt = manifestKey(instance.backupGuid, backup.backupId);
  const dataAt = dataKey(instance.backupGuid, backup.backupId, backup.dataName ?? 'data');
  const isDone = `Backup ${backup.id} of ${instance.name} is done.`;
  if (!objects.has(manifestAt)) return { key: manifestAt, problem: 'missing', detail: isDone };
  const data = objects.get(dataAt);
  if (!data) return { key: dataAt, problem: 'missing', detail: isDone };
  if (data.size !== backup.size) {
    return { key: dataAt, problem: 'size', detail: `It has ${data.size} bytes instead of ${backup.size}.` };
  }
  let manifest: Manifest;
  try {
    manifest = await readManifest(store, instance.backupGuid, backup.backupId, signal);
    if (manifest.data.sha256 !== backup.sha256 || manifest.data.name !== backup.dataName)
      return { key: manifestAt, problem: 'digest', detail: 'It says another digest than the catalogue.' };
    if (options.read)
      await verifyManifest(manifest, await openKey(context, context.db, instance, backup.keyVersion));
  } catch (error) {
    // A store that is away tells nothing about the backup.
    if (signal.aborted || toForestayError(error).retryable) throw error;
    return { key: manifestAt, problem: 'manifest', detail: toForestayError(error).message };
  }
  if (!options.read) return undefined;
  try {
    for await (const _ of storedBytes({ manifest, stores: [store] }, { signal }));
    return undefined;
  } catch (error) {
    if (!hasCode(error, 'BackupDamaged')) throw error;
    return { key: dataAt, problem: 'digest', detail: error.message };
  }
}
