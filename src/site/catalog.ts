import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import { migrate } from '../db/migrate.ts';
import { openDatabase } from '../db/open.ts';
import { identifySite } from '../db/site.ts';
import { makeLog } from '../log.ts';
import { type CheckOptions, type CheckReport, checkCatalog } from '../operations/check-catalog.ts';
import { type RebuildOptions, type RebuildReport, rebuildCatalog } from '../operations/rebuild-catalog.ts';
import type { Adapters } from './adapters.ts';
import { openStores } from './stores.ts';

/** Makes the catalogue anew from the stores, in an empty database. Throws `Misconfigured` where it is not empty. */
export async function rebuildSiteCatalog(
  adapters: Adapters,
  config: Config,
  secrets: Secrets,
  options: RebuildOptions,
  signal: AbortSignal,
): Promise<RebuildReport> {
  await using site = await openStoresAndDatabase(adapters, config, secrets);
  return await rebuildCatalog(site, options, signal);
}

/** Compares stores and database. */
export async function checkSiteCatalog(
  adapters: Adapters,
  config: Config,
  secrets: Secrets,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<CheckReport> {
  await using site = await openStoresAndDatabase(adapters, config, secrets);
  await identifySite(site.db, secrets.masterKey);
  return await checkCatalog(site, options, signal);
}

/** What work on the catalogue needs: no engine, no queue. */
async function openStoresAndDatabase({ storeKinds }: Adapters, config: Config, secrets: Secrets) {
  await using opening = new AsyncDisposableStack();
  const database = await openDatabase({ ...config, poolSize: 4 });
  opening.defer(() => database.close());
  await migrate(database.kysely);
  const stores = await openStores(storeKinds, database, config, makeLog(config.logLevel));
  const opened = opening.move();
  return {
    db: database.kysely,
    stores,
    masterKey: secrets.masterKey,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
