import { parseBackupId } from '../core/backup.ts';
import { toForestayError } from '../core/errors.ts';
import { inParallel } from '../core/in-parallel.ts';
import { dataKey, type Manifest } from '../core/manifest.ts';
import { parseStateKey } from '../core/site-state.ts';
import type { ObjectInfo, ObjectStore } from '../storage/object-store.ts';
import { readManifest } from './stored-backup.ts';

/** Manifests read at once from one store. */
const atOnce = 16;

/** Everything that lies in one store, whosever it is. */
export interface Survey {
  readonly store: ObjectStore;
  readonly objects: number;
  readonly manifests: readonly FoundManifest[];
  /** Copies of sites' states, newest first. */
  readonly states: readonly { key: string; siteId: string; at: Date }[];
  /** What looks like a manifest and is none. */
  readonly skipped: readonly Skipped[];
}

export interface FoundManifest {
  readonly store: ObjectStore;
  readonly key: string;
  /** Without the digests of its chunks: they would fill the memory. */
  readonly manifest: Omit<Manifest, 'data'> & { readonly data: Omit<Manifest['data'], 'chunks'> };
  /** The data object is there with the size that the manifest says. */
  readonly isWhole: boolean;
  readonly writtenAt: Date;
}

/** Something in a store that was left out, and why. */
export interface Skipped {
  readonly store: string;
  readonly key: string;
  readonly reason: string;
}

/**
 * Lists a store completely and reads every manifest in it. `check` may refuse one by throwing, while its chunks are still known.
 * Throws what the store throws for the list.
 */
export async function surveyStore(
  store: ObjectStore,
  signal: AbortSignal,
  check: (manifest: Manifest) => Promise<void> = async () => {},
): Promise<Survey> {
  const sizes = new Map<string, number>();
  const waiting: ObjectInfo[] = [];
  const states: { key: string; siteId: string; at: Date }[] = [];
  for await (const object of store.list('', signal)) {
    sizes.set(object.key, object.size);
    const state = parseStateKey(object.key);
    if (state) states.push({ key: object.key, ...state });
    else if (manifestPlace(object.key)) waiting.push(object);
  }
  const manifests: FoundManifest[] = [];
  const skipped: Skipped[] = [];
  await inParallel(atOnce, waiting, async ({ key, modifiedAt }) => {
    signal.throwIfAborted();
    const { backupGuid, backupId } = manifestPlace(key)!;
    try {
      const whole = await readManifest(store, backupGuid, backupId, signal);
      await check(whole);
      const { chunks: _, ...data } = whole.data;
      const isWhole = sizes.get(dataKey(backupGuid, backupId, data.name)) === data.size;
      manifests.push({ store, key, manifest: { ...whole, data }, isWhole, writtenAt: modifiedAt });
    } catch (error) {
      signal.throwIfAborted();
      skipped.push({ store: store.name, key, reason: toForestayError(error).message });
    }
  });
  states.sort((a, b) => b.at.getTime() - a.at.getTime());
  return { store, objects: sizes.size, manifests, states, skipped };
}

function manifestPlace(key: string): { backupGuid: string; backupId: string } | undefined {
  const [backupGuid = '', backupId = '', file, ...more] = key.split('/');
  const isOne =
    file === 'manifest.json' && more.length === 0 && parseBackupId(backupId)?.backupGuid === backupGuid;
  return isOne ? { backupGuid, backupId } : undefined;
}
