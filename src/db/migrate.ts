import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';
import { ForestayError } from '../core/errors.ts';
import { mainJob } from './migrations/0001-main-job.ts';
import { copies } from './migrations/0002-copies.ts';
import type { Tables } from './schema.ts';

/** Forward only: a migration that has run anywhere is never edited, and there is no way down. */
const migrations = { '0001-main-job': mainJob, '0002-copies': copies };

/** Brings the tables to this version; several processes may try at once. Resolves with the names of what ran. */
export async function migrate(db: Kysely<Tables>): Promise<string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    migrationTableSchema: 'forestay',
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error) {
    throw new ForestayError('Misconfigured', "The service's database could not be brought to this version.", {
      hint: 'A newer version of Forestay may have used it, or the role may not create tables there.',
      cause: error,
    });
  }
  return (results ?? [])
    .filter((result) => result.status === 'Success')
    .map((result) => result.migrationName);
}
