import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import { once } from '../core/repeat.ts';
import { DataDirInUse } from '../db/data-dir-lock.ts';
import { migrate } from '../db/migrate.ts';
import { openDatabase } from '../db/open.ts';
import { identifySite, knownStoreId } from '../db/site.ts';
import { examineStore, examineTools, type Finding, look } from '../operations/examine.ts';
import type { Adapters } from './adapters.ts';
import { addPlace, openStore } from './stores.ts';

/** Looks at what is configured, reachable and installed. What the next start would set up or migrate, it does. */
export async function examineSite(
  { makeEngines, storeKinds }: Adapters,
  config: Config,
  secrets: Secrets,
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings = [
    await look('Node', async () => process.version),
    await look(
      'secrets',
      async () => `the master key is there; admin token: ${secrets.adminTokenFile ?? 'from the environment'}`,
    ),
  ];
  const urls = [config.store, ...config.secondaryStores];
  const knownIds = new Map<string, string | undefined>();
  findings.push(await look('database', () => examineDatabase(config, secrets, urls, knownIds)));
  const places = new Set<string>();
  for (const [position, url] of urls.entries()) {
    const check = async () => {
      // Whoever asks the doctor wants to know now.
      const { store, place, look } = await openStore(storeKinds, url, { signal, repeat: once });
      const { id, findings } = await look(knownIds.get(url));
      addPlace(places, store, place ?? id);
      return [await examineStore(store, signal), ...findings].join('. ');
    };
    findings.push(await look(position === 0 ? 'primary store' : `secondary store ${position}`, check));
  }
  for (const engine of makeEngines(config)) findings.push(...(await examineTools(engine, signal)));
  return findings;
}

/** Says how the database is. Puts into `knownIds` by which of the stores the site recognises them. */
async function examineDatabase(
  config: Config,
  secrets: Secrets,
  urls: readonly string[],
  knownIds: Map<string, string | undefined>,
): Promise<string> {
  const database = await openDatabase({ ...config, poolSize: 2 }).catch((error: unknown) => {
    // The service is running, which is no fault.
    if (error instanceof DataDirInUse) return undefined;
    throw error;
  });
  if (!database) return `embedded in ${config.dataDir}, in use by a running Forestay`;
  try {
    const applied = await migrate(database.kysely);
    await identifySite(database.kysely, secrets.masterKey);
    for (const url of urls) knownIds.set(url, await knownStoreId(database.kysely, url));
    const where = database.embedded ? `embedded in ${config.dataDir}` : 'PostgreSQL at DATABASE_URL';
    return `${where}, ${applied.length === 0 ? 'up to date' : 'brought up to date'}; the master key is its own`;
  } finally {
    await database.close();
  }
}
