import { hasCode } from '../core/errors.ts';
import { seal } from '../core/sealing.ts';
import { parseStateKey, type SiteState, stateBinding, stateKey, statePrefix } from '../core/site-state.ts';
import { findStateCopy, noteStateCopy, readSiteState, siteStateVersion } from '../db/site-state.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { Context } from './context.ts';
import { putBytes } from './put-bytes.ts';

const dayMs = 24 * 60 * 60 * 1000;
/** Copies that stay in each store: so many changes, or days, one could go back. */
const keptCopies = 20;

/**
 * Keeps a copy of the site's own state in every store: after each change of instances and keys, and once a day. With the master
 * key it brings back what manifests do not say. A store that is away gets it when it is back.
 */
export async function keepState(context: Context, now: Date, signal: AbortSignal): Promise<void> {
  const version = await siteStateVersion(context.db);
  for (const store of context.stores) {
    signal.throwIfAborted();
    const last = await findStateCopy(context.db, store.name);
    if (last?.version === version && now.getTime() - last.writtenAt.getTime() < dayMs) continue;
    try {
      await writeState(context, store, now, signal);
      await context.db
        .transaction()
        .execute((trx) => noteStateCopy(trx, { store: store.name, version, writtenAt: now }));
      await removeOldCopies(context, store, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      context.log.warn(
        { err: error, store: store.name },
        "the site's state could not be copied to a store yet",
      );
    }
  }
}

async function writeState(
  context: Context,
  store: ObjectStore,
  now: Date,
  signal: AbortSignal,
): Promise<void> {
  const { instances, keys } = await readSiteState(context.db);
  const state: SiteState = {
    format: 1,
    site_id: context.siteId,
    written_at: now.toISOString(),
    instances,
    keys,
  };
  const sealed = seal(context.masterKey, stateBinding(context.siteId), JSON.stringify(state));
  try {
    await putBytes(store, stateKey(context.siteId, now), sealed, { signal, ifAbsent: true });
  } catch (error) {
    // Another process of the site was at it in the same millisecond.
    if (!hasCode(error, 'ObjectExists')) throw error;
  }
}

async function removeOldCopies(context: Context, store: ObjectStore, signal: AbortSignal): Promise<void> {
  const copies: { key: string; at: number }[] = [];
  for await (const { key } of store.list(statePrefix(context.siteId), signal)) {
    const at = parseStateKey(key)?.at.getTime();
    if (at !== undefined) copies.push({ key, at });
  }
  copies.sort((a, b) => b.at - a.at);
  const old = copies.slice(keptCopies).map(({ key }) => key);
  if (old.length > 0) await store.delete(old, signal);
}
