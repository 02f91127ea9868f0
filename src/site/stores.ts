import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { ForestayError } from '../core/errors.ts';
import { once } from '../core/repeat.ts';
import type { Database } from '../db/open.ts';
import { knownStoreId, rememberStore } from '../db/site.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { repeatWith, usualPolicy } from '../storage/retry.ts';
import type { OpenedStore, OpenOptions, StoreKind } from './adapters.ts';

/**
 * The primary store and the secondary ones. Without its primary store a site does not start; a secondary one may be away,
 * and catches up. Throws `Misconfigured`, also where two of them are one.
 */
export async function openStores(
  kinds: readonly StoreKind[],
  database: Database,
  config: Config,
  log: Logger,
): Promise<[ObjectStore, ...ObjectStore[]]> {
  const places = new Set<string>();
  const stores: [ObjectStore, ...ObjectStore[]] = [await openPrimary(kinds, database, config.store, places)];
  for (const url of config.secondaryStores) {
    stores.push(await openSecondary(kinds, database, url, places, log));
  }
  return stores;
}

/** Makes the adapter for a store's URL. Steps are repeated as usual, and so is the look, unless the options say otherwise. */
export async function openStore(
  kinds: readonly StoreKind[],
  url: string,
  options: Partial<OpenOptions> = {},
): Promise<OpenedStore> {
  const { signal = new AbortController().signal, repeat = repeatWith(usualPolicy) } = options;
  const kind = kinds.find(({ scheme }) => url.startsWith(`${scheme}:`));
  if (kind) return kind.open(url, { signal, repeat, lookRepeat: options.lookRepeat ?? repeat });
  const examples = new Intl.ListFormat('en-GB').format(kinds.map(({ example }) => example));
  // The URL is not repeated: that of another kind of store may hold credentials.
  throw storeMisconfigured(`FORESTAY_STORE and FORESTAY_SECONDARY_STORES take ${examples}.`);
}

/** Throws where two stores of a site are one: what lies in both would be one copy and look like two. */
export function addPlace(places: Set<string>, store: ObjectStore, place: string | undefined): void {
  if (place !== undefined && places.has(place)) {
    throw new ForestayError('Misconfigured', `The store ${store.name} is named twice.`, {
      hint: 'Name another folder, bucket or prefix in FORESTAY_SECONDARY_STORES, or take it out there. The copy of a folder that is to be a store besides the original needs a marker file of its own: docs/stores/directory.md.',
    });
  }
  if (place !== undefined) places.add(place);
}

/** A URL of a store that cannot be right. */
export function storeMisconfigured(message: string): ForestayError {
  return new ForestayError('Misconfigured', message, { hint: 'docs/operating.md describes the stores.' });
}

async function openPrimary(
  kinds: readonly StoreKind[],
  database: Database,
  url: string,
  places: Set<string>,
): Promise<ObjectStore> {
  const { store, place, look } = await openStore(kinds, url);
  const { id } = await look(await knownStoreId(database.kysely, url));
  addPlace(places, store, place ?? id);
  if (id !== undefined) await rememberStore(database.kysely, url, id);
  return store;
}

async function openSecondary(
  kinds: readonly StoreKind[],
  database: Database,
  url: string,
  places: Set<string>,
  log: Logger,
): Promise<ObjectStore> {
  const { store, place, look } = await openStore(kinds, url, { lookRepeat: once });
  addPlace(places, store, place);
  try {
    const { id } = await look(await knownStoreId(database.kysely, url));
    if (place === undefined) addPlace(places, store, id);
    if (id !== undefined) await rememberStore(database.kysely, url, id);
  } catch (error) {
    if (!(error instanceof ForestayError && error.retryable)) throw error;
    log.warn({ err: error, store: store.name }, 'a secondary store is away: copies wait for it');
  }
  return store;
}
