import { constants } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { migrate } from '../../src/db/migrate.ts';
import { openDatabase } from '../../src/db/open.ts';
import { makeBoss } from '../../src/jobs/queue.ts';

/**
 * An embedded database, set up and empty, which tests copy: setting one up takes four seconds of a core, a copy a twentieth.
 * It knows no site yet, so that each copy becomes one of its own.
 */
export async function makeDatabaseTemplate(
  parent: string,
): Promise<{ folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(parent, 'forestay-template-'));
  const database = await openDatabase({ dataDir: folder, databaseUrl: undefined, poolSize: 1 });
  await migrate(database.kysely);
  const quiet = { info() {}, warn() {}, error() {} };
  const boss = makeBoss(database, quiet);
  await boss.start();
  await boss.stop({ graceful: false, close: true });
  await database.close();
  process.env.FORESTAY_TEST_TEMPLATE = folder;
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Gives a data directory a database, where it has none and a template was made for this run. */
export async function copyDatabaseTemplate(dataDir: string): Promise<void> {
  const template = process.env.FORESTAY_TEST_TEMPLATE;
  const there = await stat(join(dataDir, 'db')).catch(() => undefined);
  if (!template || there) return;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await cp(join(template, 'db'), join(dataDir, 'db'), { recursive: true, mode: constants.COPYFILE_FICLONE });
}
