import { defaultPool } from '../core/instance.ts';
import { dataNameAttempt } from '../core/manifest.ts';
import type { InstanceState, KeyState, SiteState } from '../core/site-state.ts';
import type { FoundBackup, FoundCopy } from '../db/catalog.ts';
import type { FoundManifest, Skipped } from './survey-stores.ts';

/** A catalogue as it goes into an empty database. */
export interface Catalog {
  readonly instances: readonly InstanceState[];
  readonly keys: readonly KeyState[];
  readonly backups: readonly FoundBackup[];
  readonly copies: readonly FoundCopy[];
  readonly nextId: number;
  readonly skipped: readonly Skipped[];
}

/**
 * Arranges what the manifests of one site say around the copy of its state, if there is one. The state is exact, and knows what
 * no backup was made with yet; manifests tell the rest. Pure.
 */
export function arrangeCatalog(
  state: Pick<SiteState, 'instances' | 'keys'> | undefined,
  manifests: readonly FoundManifest[],
  storeNames: readonly string[],
): Catalog {
  const skipped: Skipped[] = [];
  const skip = ({ store, key }: FoundManifest, reason: string) =>
    skipped.push({ store: store.name, key, reason });
  const whole = manifests.filter((found) => {
    if (!found.isWhole) skip(found, 'Its data is missing or of another size than it says.');
    return found.isWhole;
  });
  const oldestFirst = whole.toSorted(byTime);
  const instances = arrangeInstances(state?.instances ?? [], oldestFirst);
  const known = oldestFirst.filter((found) => {
    const { instance_id, backup_guid } = found.manifest;
    const isKnown = instances.get(instance_id)?.backup_guid === backup_guid;
    if (!isKnown) skip(found, `Its instance ${instance_id} has its backups under another GUID.`);
    return isKnown;
  });
  const byBackup = Map.groupBy(known, ({ manifest }) => manifest.backup_id);
  const backups: FoundBackup[] = [];
  const copies: FoundCopy[] = [];
  const taken = new Set<number>();
  let nextId = 1 + manifests.reduce((max, { manifest }) => Math.max(max, manifest.id), 0);
  for (const found of byBackup.values()) {
    const order = found.toSorted(
      (a, b) => storeNames.indexOf(a.store.name) - storeNames.indexOf(b.store.name),
    );
    const [first] = order;
    if (!first) continue;
    // Numbers repeat where a database was lost before and nobody rebuilt the catalogue.
    const id = taken.has(first.manifest.id) ? nextId++ : first.manifest.id;
    taken.add(id);
    backups.push(backupOf(id, first));
    for (const { store, manifest, writtenAt } of order) {
      if (store.name === storeNames[0] || manifest.mac !== first.manifest.mac) continue;
      copies.push({ backup: id, store: store.name, finished_at: writtenAt.toISOString() });
    }
  }
  return {
    instances: [...instances.values()],
    keys: arrangeKeys(state?.keys ?? [], known),
    backups,
    copies,
    nextId,
    skipped,
  };
}

/** By GUID. What only manifests know has no connection, and is in care: whoever does not want that takes it out. */
function arrangeInstances(
  fromState: readonly InstanceState[],
  oldestFirst: readonly FoundManifest[],
): Map<string, InstanceState> {
  const instances = new Map(fromState.map((instance) => [instance.instance_id, instance]));
  const exact = new Set(instances.keys());
  let nextId = 1 + fromState.reduce((max, { id }) => Math.max(max, id), 0);
  for (const { manifest } of oldestFirst) {
    if (exact.has(manifest.instance_id)) continue;
    const before = instances.get(manifest.instance_id);
    instances.set(manifest.instance_id, {
      id: before?.id ?? nextId++,
      instance_id: manifest.instance_id,
      name: manifest.instance_name,
      engine: manifest.engine,
      pool: defaultPool,
      backup_guid: before?.backup_guid ?? manifest.backup_guid,
      exclude_from_auto_backup: false,
      state: 'provisioned',
      created_at: before?.created_at ?? manifest.triggered_at,
      updated_at: manifest.triggered_at,
      connection: null,
    });
  }
  return instances;
}

function arrangeKeys(fromState: readonly KeyState[], oldestFirst: readonly FoundManifest[]): KeyState[] {
  const name = (guid: string, version: number) => `${guid} ${version}`;
  const keys = new Map(fromState.map((key) => [name(key.instance_id, key.version), key]));
  for (const { manifest } of oldestFirst) {
    const { instance_id, key_version } = manifest;
    if (keys.has(name(instance_id, key_version))) continue;
    keys.set(name(instance_id, key_version), {
      instance_id,
      version: key_version,
      passphrase: manifest.sealed_key,
      set_by: manifest.key_set_by,
      created_at: manifest.triggered_at,
    });
  }
  return [...keys.values()];
}

function backupOf(id: number, { manifest }: FoundManifest): FoundBackup {
  return {
    id,
    instance_id: manifest.instance_id,
    backup_id: manifest.backup_id,
    key_version: manifest.key_version,
    size: manifest.data.size,
    plaintext_size: manifest.plaintext.size,
    sha256: manifest.data.sha256,
    engine_version: manifest.engine_version,
    data_name: manifest.data.name,
    suffix: manifest.suffix,
    attempt: dataNameAttempt(manifest.data.name),
    triggered_at: manifest.triggered_at,
    started_at: manifest.started_at,
    finished_at: manifest.finished_at,
  };
}

function byTime(a: FoundManifest, b: FoundManifest): number {
  return a.manifest.triggered_at < b.manifest.triggered_at ? -1 : 1;
}
