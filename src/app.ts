import type { Logger } from 'pino';
import { adminTokenProvider } from './auth/admin-token.ts';
import { storedTokenProvider } from './auth/stored-token.ts';
import type { Config, Secrets } from './config.ts';
import { ForestayError } from './core/errors.ts';
import { defaultPool } from './core/instance.ts';
import { once, type Repeat } from './core/repeat.ts';
import { copyPool } from './core/task.ts';
import { DataDirInUse } from './db/data-dir-lock.ts';
import { migrate } from './db/migrate.ts';
import { type Database, openDatabase } from './db/open.ts';
import { identifySite, knownStoreId, rememberStore } from './db/site.ts';
import { createCommandEngine } from './engines/command/engine.ts';
import type { Engine } from './engines/engine.ts';
import { createFilesEngine } from './engines/files/engine.ts';
import { createMariadbEngine } from './engines/mariadb/engine.ts';
import { createPostgresqlEngine } from './engines/postgresql/engine.ts';
import { createRabbitmqEngine } from './engines/rabbitmq/engine.ts';
import { createRedisEngine } from './engines/redis/engine.ts';
import { createSqliteEngine } from './engines/sqlite/engine.ts';
import { createServer } from './http/server.ts';
import { jobSender, makeBoss, prepareQueue } from './jobs/queue.ts';
import { startScheduler } from './jobs/scheduler.ts';
import { adoptTakenTasks, startWorker } from './jobs/worker.ts';
import { makeLog } from './log.ts';
import { type CheckOptions, type CheckReport, checkCatalog } from './operations/check-catalog.ts';
import type { Context } from './operations/context.ts';
import { examineStore, examineTools, type Finding, look } from './operations/examine.ts';
import { type RebuildOptions, type RebuildReport, rebuildCatalog } from './operations/rebuild-catalog.ts';
import { azurePlaceOf, parseAzureLocation } from './storage/azure/location.ts';
import { prepareFilesystemStore } from './storage/filesystem/prepare.ts';
import { createFilesystemStore } from './storage/filesystem/store.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { repeatWith, retrying, usualPolicy } from './storage/retry.ts';
import { parseS3Location, s3PlaceOf } from './storage/s3/location.ts';
import { letGrow } from './young-generation.ts';

/**
 * The composition root: the only file that names every concrete engine, store and identity provider. Adding one is a line
 * here.
 */

function makeEngines(config: Config): ReadonlyMap<string, Engine> {
  const engines = [
    createPostgresqlEngine({ toolDirs: config.toolDirs }),
    createMariadbEngine({ toolDirs: config.toolDirs }),
    createFilesEngine({ roots: config.filesRoots, forbidden: ownFolders(config) }),
    createCommandEngine({ file: config.commandsFile }),
    createSqliteEngine({ roots: config.filesRoots, forbidden: ownFolders(config) }),
    createRedisEngine(),
    createRabbitmqEngine(),
  ];
  return new Map(engines.map((engine) => [engine.name, engine]));
}

/** What no instance may be, hold or lie in. */
function ownFolders({ dataDir, store, secondaryStores }: Config): string[] {
  return [dataDir, ...[store, ...secondaryStores].flatMap((url) => folderOf(url) ?? [])];
}

/** Of a store that is a folder. */
function folderOf(url: string): string | undefined {
  return url.startsWith('file:') ? url.slice('file:'.length).replace(/^\/\/(?=\/)/, '') : undefined;
}

interface OpenedStore {
  readonly store: ObjectStore;
  /** Where it is, as far as its URL tells; else the id tells it, which only a look finds. */
  readonly place?: string;
  /** Looks at it and, where it is one that can be set up, sets it up once. `knownId` is what an earlier look found. */
  look(knownId: string | undefined): Promise<{
    /** By which it is recognised; undefined where its URL says all there is. */
    readonly id?: string;
    /** What was found, a sentence each. */
    readonly findings: readonly string[];
  }>;
}

/** Makes the adapter for a store's URL. `lookRepeat` is for the look at it, which may be more impatient than later work. */
async function openStore(
  url: string,
  {
    signal = new AbortController().signal,
    repeat = repeatWith(usualPolicy),
    lookRepeat = repeat,
  }: { signal?: AbortSignal; repeat?: Repeat; lookRepeat?: Repeat } = {},
): Promise<OpenedStore> {
  const [, scheme] = /^([a-z0-9]+):/.exec(url) ?? [];
  switch (scheme) {
    case 'file': {
      const root = folderOf(url) ?? '';
      if (!root.startsWith('/'))
        throw storeMisconfigured(
          'A file: store needs an absolute path, for example file:/var/lib/forestay/store.',
        );
      return {
        store: createFilesystemStore({ root }),
        async look(knownId) {
          const { id } = await prepareFilesystemStore(
            root,
            knownId === undefined ? {} : { expectedId: knownId },
          );
          return { id, findings: [] };
        },
      };
    }
    case 's3': {
      const location = parseS3Location(url);
      // Only where it is used: the SDK is large.
      const { examineS3Store } = await import('./storage/s3/prepare.ts');
      const { createS3Store } = await import('./storage/s3/store.ts');
      return {
        store: retrying(createS3Store({ location, repeat }), repeat),
        place: s3PlaceOf(location),
        look: async () => ({ findings: await examineS3Store({ location, repeat: lookRepeat }, signal) }),
      };
    }
    case 'azure': {
      const location = parseAzureLocation(url);
      const { examineAzureStore } = await import('./storage/azure/prepare.ts');
      const { createAzureStore } = await import('./storage/azure/store.ts');
      return {
        store: retrying(createAzureStore({ location, repeat }), repeat),
        place: azurePlaceOf(location),
        look: async () => ({ findings: await examineAzureStore({ location, repeat: lookRepeat }, signal) }),
      };
    }
    default:
      // The URL is not repeated: that of another kind of store may hold credentials.
      throw storeMisconfigured(
        'FORESTAY_STORE and FORESTAY_SECONDARY_STORES take file:/path, s3://bucket/prefix and azure://account/container/prefix.',
      );
  }
}

/** Throws where two stores of a site are one: what lies in both would be one copy and look like two. */
function addPlace(places: Set<string>, store: ObjectStore, place: string | undefined): void {
  if (place !== undefined && places.has(place)) {
    throw new ForestayError('Misconfigured', `The store ${store.name} is named twice.`, {
      hint: 'Name another folder, bucket or prefix in FORESTAY_SECONDARY_STORES, or take it out there. The copy of a folder that is to be a store besides the original needs a marker file of its own: docs/stores/directory.md.',
    });
  }
  if (place !== undefined) places.add(place);
}

export interface SiteParts {
  /** Serve the API. */
  readonly api: boolean;
  /** Run tasks, and the chores of the scheduler. */
  readonly worker: boolean;
  /** Whose tasks; the default pool when undefined. */
  readonly pool: string | undefined;
}

export interface RunningSite {
  /** Where the API listens, undefined without one. */
  readonly url: string | undefined;
  /** Stops in order: no new requests, then no new tasks, running ones back to the queue, then queue and database. */
  close(): Promise<void>;
}

export async function startSite(config: Config, secrets: Secrets, parts: SiteParts): Promise<RunningSite> {
  const log = makeLog(config.logLevel);
  await using starting = new AsyncDisposableStack();
  const database = await openDatabase({ ...config, poolSize: config.concurrency * 2 + 8 });
  starting.defer(() => database.close());
  await migrate(database.kysely);
  const boss = makeBoss(database, log);
  await boss.start();
  starting.defer(() => boss.stop({ graceful: false, close: true }));
  await prepareQueue(boss, defaultPool);
  await prepareQueue(boss, copyPool);
  const context = await makeContext(config, secrets, database, jobSender(boss), log);

  if (parts.worker) {
    if (database.embedded) await adoptTakenTasks(context);
    const { concurrency } = config;
    const copying = await startWorker(context, boss, {
      pool: copyPool,
      concurrency: Math.ceil(concurrency / 2),
    });
    starting.defer(() => copying.close());
    const worker = await startWorker(context, boss, { pool: parts.pool ?? defaultPool, concurrency });
    starting.defer(() => worker.close());
    const scheduler = startScheduler(context);
    starting.defer(() => scheduler.close());
  }
  let url: string | undefined;
  if (parts.api) {
    const server = await createServer({
      operations: context,
      identity: [adminTokenProvider(secrets.adminToken), storedTokenProvider(database.kysely)],
      publicUrl: config.publicUrl,
      log,
    });
    starting.defer(() => server.close());
    url = await server.listen(config.listen);
  }
  letGrow();
  const running = starting.move();
  return { url, close: () => running.disposeAsync() };
}

/** Brings the database to this version; resolves with the names of the migrations that ran. */
export async function migrateSite(config: Config, secrets: Secrets): Promise<string[]> {
  const database = await openDatabase({ ...config, poolSize: 2 });
  try {
    const applied = await migrate(database.kysely);
    await identifySite(database.kysely, secrets.masterKey);
    const boss = makeBoss(database, makeLog(config.logLevel));
    await boss.start();
    await boss.stop({ graceful: false, close: true });
    return applied;
  } finally {
    await database.close();
  }
}

/** Looks at what is configured, reachable and installed. What the next start would set up or migrate, it does. */
export async function examine(config: Config, secrets: Secrets, signal: AbortSignal): Promise<Finding[]> {
  const findings = [
    await look('Node', async () => process.version),
    await look(
      'secrets',
      async () => `the master key is there; admin token: ${secrets.adminTokenFile ?? 'from the environment'}`,
    ),
  ];
  const knownIds = new Map<string, string | undefined>();
  const urls = [config.store, ...config.secondaryStores];
  findings.push(
    await look('database', async () => {
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
    }),
  );
  const places = new Set<string>();
  for (const [position, url] of urls.entries()) {
    const check = async () => {
      // Whoever asks the doctor wants to know now.
      const { store, place, look } = await openStore(url, { signal, repeat: once });
      const { id, findings } = await look(knownIds.get(url));
      addPlace(places, store, place ?? id);
      return [await examineStore(store, signal), ...findings].join('. ');
    };
    findings.push(await look(position === 0 ? 'primary store' : `secondary store ${position}`, check));
  }
  for (const engine of makeEngines(config).values()) findings.push(...(await examineTools(engine, signal)));
  return findings;
}

/** Makes the catalogue anew from the stores, in an empty database. Throws `Misconfigured` where it is not empty. */
export async function rebuildSiteCatalog(
  config: Config,
  secrets: Secrets,
  options: RebuildOptions,
  signal: AbortSignal,
): Promise<RebuildReport> {
  await using site = await openStoresAndDatabase(config, secrets);
  return await rebuildCatalog(site, options, signal);
}

/** Compares stores and database. */
export async function checkSiteCatalog(
  config: Config,
  secrets: Secrets,
  options: CheckOptions,
  signal: AbortSignal,
): Promise<CheckReport> {
  await using site = await openStoresAndDatabase(config, secrets);
  await identifySite(site.db, secrets.masterKey);
  return await checkCatalog(site, options, signal);
}

/** What work on the catalogue needs: no engine, no queue. */
async function openStoresAndDatabase(config: Config, secrets: Secrets) {
  await using opening = new AsyncDisposableStack();
  const database = await openDatabase({ ...config, poolSize: 4 });
  opening.defer(() => database.close());
  await migrate(database.kysely);
  const log = makeLog(config.logLevel);
  const stores = await openStores(database, config, log);
  const opened = opening.move();
  return {
    db: database.kysely,
    stores,
    masterKey: secrets.masterKey,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function makeContext(
  config: Config,
  secrets: Secrets,
  database: Database,
  jobs: Context['jobs'],
  log: Logger,
): Promise<Context> {
  const siteId = await identifySite(database.kysely, secrets.masterKey);
  const stores = await openStores(database, config, log);
  return {
    db: database.kysely,
    engines: makeEngines(config),
    stores,
    siteId,
    masterKey: secrets.masterKey,
    minKeyLength: config.minKeyLength,
    retention: config.retention,
    jobs,
    log,
  };
}

/** The primary store and the secondary ones. */
async function openStores(
  database: Database,
  config: Config,
  log: Logger,
): Promise<[ObjectStore, ...ObjectStore[]]> {
  const places = new Set<string>();
  const stores: [ObjectStore, ...ObjectStore[]] = [await openPrimary(database, config.store, places)];
  for (const url of config.secondaryStores) stores.push(await openSecondary(database, url, places, log));
  return stores;
}

/** Without its primary store a site does not start; a secondary one may be away, and catches up. */
async function openPrimary(database: Database, url: string, places: Set<string>): Promise<ObjectStore> {
  const { store, place, look } = await openStore(url);
  const { id } = await look(await knownStoreId(database.kysely, url));
  addPlace(places, store, place ?? id);
  if (id !== undefined) await rememberStore(database.kysely, url, id);
  return store;
}

async function openSecondary(
  database: Database,
  url: string,
  places: Set<string>,
  log: Logger,
): Promise<ObjectStore> {
  const { store, place, look } = await openStore(url, { lookRepeat: once });
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

function storeMisconfigured(message: string): ForestayError {
  return new ForestayError('Misconfigured', message, { hint: 'docs/operating.md describes the stores.' });
}
