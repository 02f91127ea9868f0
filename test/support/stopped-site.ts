import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { openDatabase } from '../../src/db/open.ts';
import { identifySite } from '../../src/db/site.ts';
import { createPostgresqlEngine } from '../../src/engines/postgresql/engine.ts';
import type { Context } from '../../src/operations/context.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';

/** Opens the state of a site whose processes have stopped, to look at it and to run chores at another time than now. */
export async function openStoppedSite(
  dataDir: string,
  { databaseUrl, storeRoot }: { databaseUrl?: string; storeRoot?: string } = {},
): Promise<{ context: Context } & AsyncDisposable> {
  const masterKey = Buffer.from(await readFile(path.join(dataDir, 'master.key'), 'utf8'), 'base64');
  const database = await openDatabase({ dataDir, databaseUrl, poolSize: 4 });
  const engine = createPostgresqlEngine();
  const noJobs = async () => {
    throw new Error('A stopped site takes no jobs.');
  };
  return {
    context: {
      db: database.kysely,
      engines: new Map([[engine.name, engine]]),
      stores: [createFilesystemStore({ root: storeRoot ?? path.join(dataDir, 'store') })],
      siteId: await identifySite(database.kysely, masterKey),
      masterKey,
      minKeyLength: 8,
      retention: { minBackupCount: 5, retentionDays: 30 },
      jobs: { preparePool: noJobs, send: noJobs },
      log: { info: () => {}, warn: () => {}, error: () => {} },
    },
    [Symbol.asyncDispose]: () => database.close(),
  };
}
