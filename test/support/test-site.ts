import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PgBoss } from 'pg-boss';
import type { RetentionPolicy } from '../../src/core/retention.ts';
import { copyPool } from '../../src/core/task.ts';
import { listBackups } from '../../src/db/backups.ts';
import { migrate } from '../../src/db/migrate.ts';
import { type Database, openDatabase } from '../../src/db/open.ts';
import { listRestores } from '../../src/db/restores.ts';
import { identifySite } from '../../src/db/site.ts';
import type { Task } from '../../src/db/tasks.ts';
import type { Engine } from '../../src/engines/engine.ts';
import { jobSender, makeBoss, prepareQueue } from '../../src/jobs/queue.ts';
import { startWorker, type Worker } from '../../src/jobs/worker.ts';
import type { Context, Log } from '../../src/operations/context.ts';
import { registerInstance } from '../../src/operations/instances.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { copyDatabaseTemplate } from './database-template.ts';
import { createFakeEngine, type FakeEngine } from './fake-engine.ts';

/** A whole site without HTTP, in a temp folder: real database and queue, a directory store, a fake engine. */
export interface TestSite extends AsyncDisposable {
  readonly folder: string;
  readonly storeRoot: string;
  readonly context: Context;
  readonly database: Database;
  readonly boss: PgBoss;
  readonly engine: FakeEngine;
  /** What was logged, a JSON text a line. */
  readonly logLines: string[];
  startWorker(): Promise<Worker>;
  /** Registers an instance of the fake engine; resolves with its GUID and the file that is its data. */
  addInstance(content?: string | Buffer): Promise<{ guid: string; file: string }>;
}

export interface TestSiteOptions {
  /** A PostgreSQL database for the site's state; embedded when absent. */
  readonly databaseUrl?: string;
  readonly storeRoot?: string;
  /** Made up when absent. */
  readonly masterKey?: Buffer;
  /** Wraps the directory store, to make it fail. */
  readonly wrapStore?: (store: ObjectStore) => ObjectStore;
  /** Stores that backups are copied to. */
  readonly secondaries?: readonly ObjectStore[];
  readonly engines?: readonly Engine[];
  readonly retention?: RetentionPolicy;
}

export const never = new AbortController().signal;

export async function makeTestSite(options: TestSiteOptions = {}): Promise<TestSite> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'site-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const logLines: string[] = [];
  const note = (fields: object, message: string) => {
    logLines.push(
      JSON.stringify({ message, ...fields }, (_, value) =>
        value instanceof Error ? `${value.stack}` : value,
      ),
    );
  };
  const log: Log = { info: note, warn: note, error: note };
  if (options.databaseUrl === undefined) await copyDatabaseTemplate(folder);
  const database = await openDatabase({ dataDir: folder, databaseUrl: options.databaseUrl, poolSize: 10 });
  stack.defer(() => database.close());
  await migrate(database.kysely);
  const boss = makeBoss(database, log);
  await boss.start();
  stack.defer(() => boss.stop({ graceful: false, close: true }));
  await prepareQueue(boss, 'default');
  await prepareQueue(boss, copyPool);
  const storeRoot = options.storeRoot ?? path.join(folder, 'store');
  await prepareFilesystemStore(storeRoot);
  const store = createFilesystemStore({ root: storeRoot });
  const engine = createFakeEngine();
  const masterKey = options.masterKey ?? randomBytes(32);
  const context: Context = {
    db: database.kysely,
    engines: new Map([engine, ...(options.engines ?? [])].map((each) => [each.name, each])),
    stores: [options.wrapStore?.(store) ?? store, ...(options.secondaries ?? [])],
    siteId: await identifySite(database.kysely, masterKey),
    masterKey,
    minKeyLength: 8,
    retention: options.retention ?? { minBackupCount: 5, retentionDays: 30 },
    jobs: jobSender(boss),
    log,
  };
  let instances = 0;
  const owned = stack.move();
  return {
    folder,
    storeRoot,
    context,
    database,
    boss,
    engine,
    logLines,
    async startWorker() {
      const copying = await startWorker(context, boss, { pool: copyPool, concurrency: 1 });
      owned.defer(() => copying.close());
      const worker = await startWorker(context, boss, { pool: 'default', concurrency: 2 });
      owned.defer(() => worker.close());
      return worker;
    },
    async addInstance(content = 'precious data') {
      instances += 1;
      const file = path.join(folder, `instance-${instances}`);
      await writeFile(file, content);
      const registration = { name: `instance ${instances}`, engine: engine.name, connection: { file } };
      const { instance } = await registerInstance(context, registration, never);
      return { guid: instance.guid, file };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Polls until the value is there; fails after a minute, saying what it waited for. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(20);
  }
}

const isEnded = (task: Task) => task.status !== 'queued' && task.status !== 'running';

export async function backupEnds(context: Context, id: number, timeoutMs?: number) {
  const row = () =>
    context.db.selectFrom('backups').select('instance_id').where('id', '=', id).executeTakeFirstOrThrow();
  const { instance_id } = await row();
  const find = async () =>
    (await listBackups(context.db, instance_id)).find((backup) => backup.id === id && isEnded(backup.task));
  return until(`the end of backup ${id}`, find, timeoutMs);
}

export async function restoreEnds(context: Context, id: number, timeoutMs?: number) {
  const row = () =>
    context.db.selectFrom('restores').select('instance_id').where('id', '=', id).executeTakeFirstOrThrow();
  const { instance_id } = await row();
  const find = async () =>
    (await listRestores(context.db, instance_id)).find(
      (restore) => restore.id === id && isEnded(restore.task),
    );
  return until(`the end of restore ${id}`, find, timeoutMs);
}
