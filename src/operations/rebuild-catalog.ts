import { text } from 'node:stream/consumers';
import { ForestayError, toForestayError } from '../core/errors.ts';
import type { Manifest } from '../core/manifest.ts';
import { keyBinding, unseal } from '../core/sealing.ts';
import { parseSiteState, type SiteState, stateBinding } from '../core/site-state.ts';
import { insertFoundBackups } from '../db/catalog.ts';
import { adoptSite } from '../db/site.ts';
import { insertSiteState, isEmptySite } from '../db/site-state.ts';
import { verifyManifest } from '../pipeline/signature.ts';
import { arrangeCatalog } from './arrange-catalog.ts';
import type { Context } from './context.ts';
import { type FoundManifest, type Skipped, type Survey, surveyStore } from './survey-stores.ts';

export interface RebuildOptions {
  /** Whose catalogue; needed only where the stores hold several that the master key opens. */
  readonly siteId?: string | undefined;
  /** Check the signature of every manifest, which takes a fifth of a second each; else a restore does. */
  readonly verify: boolean;
}

/** What a rebuild found. */
export interface RebuildReport {
  readonly siteId: string;
  /** When the copy of the state was made that was used; null when there was none. */
  readonly stateOf: string | null;
  readonly stores: readonly { store: string; objects: number; manifests: number; states: number }[];
  readonly instances: number;
  /** The GUIDs of instances that need a connection before they can be backed up or restored. */
  readonly withoutConnection: readonly string[];
  readonly keys: number;
  readonly backups: number;
  readonly copies: number;
  /** What was left out, and why; what belongs to other sites is only counted. */
  readonly skipped: readonly Skipped[];
  readonly ofOtherSites: number;
}

/**
 * Promise 6, the store is enough: makes instances, keys and backups anew from what lies in the stores and the master key, in a
 * database that knows no instance. The site becomes the one it was. Changes nothing in the stores.
 */
export async function rebuildCatalog(
  context: Pick<Context, 'db' | 'stores' | 'masterKey'>,
  options: RebuildOptions,
  signal: AbortSignal,
): Promise<RebuildReport> {
  await refuseUsedSite(context.db);
  const surveys: Survey[] = [];
  for (const store of context.stores) {
    const check = async (manifest: Manifest) => {
      if (!options.verify) return;
      const passphrase = openSealedKey(context.masterKey, manifest);
      if (passphrase !== undefined) await verifyManifest(manifest, passphrase);
    };
    surveys.push(await surveyStore(store, signal, check));
  }
  const manifests = surveys.flatMap((survey) => survey.manifests);
  const states = await openStates(context.masterKey, surveys, signal);
  const siteId = chooseSite(context.masterKey, manifests, states, options.siteId);
  const state = states.get(siteId);
  const own = manifests.filter(({ manifest }) => manifest.site_id === siteId);
  const [readable, unreadable] = partition(
    own,
    ({ manifest }) => openSealedKey(context.masterKey, manifest) !== undefined,
  );
  const catalog = arrangeCatalog(
    state,
    readable,
    context.stores.map(({ name }) => name),
  );
  await context.db.transaction().execute(async (trx) => {
    await refuseUsedSite(trx);
    await adoptSite(trx, context.masterKey, siteId);
    await insertSiteState(trx, catalog);
    await insertFoundBackups(trx, catalog);
  });
  return {
    siteId,
    stateOf: state?.written_at ?? null,
    stores: surveys.map(({ store, objects, manifests: { length }, states: found }) => ({
      store: store.name,
      objects,
      manifests: length,
      states: found.length,
    })),
    instances: catalog.instances.length,
    withoutConnection: catalog.instances
      .filter(({ connection }) => connection === null)
      .map(({ instance_id }) => instance_id),
    keys: catalog.keys.length,
    backups: catalog.backups.length,
    copies: catalog.copies.length,
    skipped: [
      ...surveys.flatMap(({ skipped }) => skipped),
      ...unreadable.map(({ store, key }) => ({
        store: store.name,
        key,
        reason: 'Its key does not open with the master key.',
      })),
      ...catalog.skipped,
    ],
    ofOtherSites: manifests.length - own.length,
  };
}

async function refuseUsedSite(db: Parameters<typeof isEmptySite>[0]): Promise<void> {
  if (await isEmptySite(db)) return;
  throw new ForestayError('Misconfigured', 'The database of this site has instances already.', {
    hint: 'A catalogue is rebuilt into an empty database: name another FORESTAY_DATA_DIR or DATABASE_URL, or move the old database away.',
  });
}

/** The passphrase of a backup, undefined where it is not sealed under this master key. */
function openSealedKey(
  masterKey: Uint8Array,
  manifest: Pick<Manifest, 'instance_id' | 'key_version' | 'sealed_key'>,
): string | undefined {
  try {
    const binding = keyBinding(manifest.instance_id, manifest.key_version);
    return unseal(masterKey, binding, Buffer.from(manifest.sealed_key, 'base64'));
  } catch {
    return undefined;
  }
}

/** The newest state of each site that the master key opens, from whichever store has it. */
async function openStates(
  masterKey: Uint8Array,
  surveys: readonly Survey[],
  signal: AbortSignal,
): Promise<Map<string, SiteState>> {
  const found = surveys
    .flatMap(({ store, states }) => states.map((state) => ({ store, ...state })))
    .sort((a, b) => b.at.getTime() - a.at.getTime());
  const opened = new Map<string, SiteState>();
  for (const { store, key, siteId } of found) {
    if (opened.has(siteId)) continue;
    try {
      const sealed = Buffer.from(
        await text((await store.get(key, { signal })).setEncoding('latin1')),
        'latin1',
      );
      const state = parseSiteState(unseal(masterKey, stateBinding(siteId), sealed));
      if (state.site_id === siteId) opened.set(siteId, state);
    } catch (error) {
      signal.throwIfAborted();
      // Another site's, or damaged: an older one, or one in another store, may do. A store that is away is another matter.
      if (toForestayError(error).retryable) throw error;
    }
  }
  return opened;
}

function chooseSite(
  masterKey: Uint8Array,
  manifests: readonly FoundManifest[],
  states: ReadonlyMap<string, SiteState>,
  wanted: string | undefined,
): string {
  const own = new Set(states.keys());
  for (const { manifest } of manifests) {
    if (!own.has(manifest.site_id) && openSealedKey(masterKey, manifest) !== undefined)
      own.add(manifest.site_id);
  }
  if (wanted !== undefined) {
    if (own.has(wanted)) return wanted;
    throw new ForestayError(
      'Misconfigured',
      `The stores hold nothing of site ${wanted} that the master key opens.`,
      {
        hint: own.size > 0 ? `There is: ${[...own].join(', ')}.` : nothingHint,
      },
    );
  }
  const [only, ...others] = own;
  if (only !== undefined && others.length === 0) return only;
  throw new ForestayError(
    'Misconfigured',
    only === undefined
      ? `The stores hold nothing that the master key opens; there are ${manifests.length} manifests.`
      : `The stores hold ${own.size} sites that the master key opens.`,
    { hint: only === undefined ? nothingHint : `Name one with --site: ${[...own].join(', ')}.` },
  );
}

const nothingHint =
  'Start with the master key of the site that was lost, and with its stores (FORESTAY_STORE, FORESTAY_SECONDARY_STORES).';

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  const first: T[] = [];
  const second: T[] = [];
  for (const item of items) (isFirst(item) ? first : second).push(item);
  return [first, second];
}
