import type { Secrets } from '../config/secrets.ts';
import type { Config } from '../config.ts';
import { migrate } from '../db/migrate.ts';
import { openDatabase } from '../db/open.ts';
import { identifySite } from '../db/site.ts';
import { makeBoss } from '../jobs/queue.ts';
import { makeLog } from '../log.ts';

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
