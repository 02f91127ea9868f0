import type { Logger } from 'pino';
import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import { defaultPool } from '../core/instance.ts';
import { copyPool } from '../core/task.ts';
import { migrate } from '../db/migrate.ts';
import { type Database, openDatabase } from '../db/open.ts';
import { identifySite } from '../db/site.ts';
import { createServer } from '../http/server.ts';
import { jobSender, makeBoss, prepareQueue } from '../jobs/queue.ts';
import { startScheduler } from '../jobs/scheduler.ts';
import { adoptTakenTasks, startWorker } from '../jobs/worker.ts';
import { makeLog } from '../log.ts';
import type { Context } from '../operations/context.ts';
import { letGrow } from '../young-generation.ts';
import type { Adapters } from './adapters.ts';
import { openStores } from './stores.ts';

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

/** Starts what `parts` says, in the order in which one thing needs another. Whatever fails, what had started is stopped. */
export async function startSite(
  adapters: Adapters,
  config: Config,
  secrets: Secrets,
  parts: SiteParts,
): Promise<RunningSite> {
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
  const context = await makeContext(adapters, config, secrets, database, jobSender(boss), log);

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
      identity: adapters.makeIdentityProviders(secrets, database),
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

async function makeContext(
  { makeEngines, storeKinds }: Adapters,
  config: Config,
  secrets: Secrets,
  database: Database,
  jobs: Context['jobs'],
  log: Logger,
): Promise<Context> {
  const siteId = await identifySite(database.kysely, secrets.masterKey);
  const stores = await openStores(storeKinds, database, config, log);
  return {
    db: database.kysely,
    engines: new Map(makeEngines(config).map((engine) => [engine.name, engine])),
    stores,
    siteId,
    masterKey: secrets.masterKey,
    minKeyLength: config.minKeyLength,
    retention: config.retention,
    jobs,
    log,
  };
}
