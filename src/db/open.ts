import { type Dialect, Kysely, PGliteDialect, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import type { EmbeddedDatabase } from './embedded.ts';
import { PreparingClient } from './prepared.ts';
import type { Tables } from './schema.ts';

/**
 * The service's own state. One dialect, PostgreSQL: embedded in this process, or a server that any number of processes
 * share. Everything else in `db/` is functions that take a reader or a transaction.
 */
export interface Database {
  readonly kysely: Kysely<Tables>;
  /** Exactly one is set: the queue brings its own driver. */
  readonly embedded?: EmbeddedDatabase['pglite'];
  readonly url?: string;
  close(): Promise<void>;
}

export interface DatabaseSettings {
  readonly dataDir: string;
  /** Connection URL of a PostgreSQL server; embedded when undefined. */
  readonly databaseUrl: string | undefined;
  /** Connections to keep at most; meaningless when embedded. */
  readonly poolSize: number;
}

const int8 = 20;

/** Opens the database and makes its schema; tables are made by `migrate`. */
export async function openDatabase(settings: DatabaseSettings): Promise<Database> {
  return settings.databaseUrl === undefined
    ? openEmbeddedDatabase(settings.dataDir)
    : openServer(settings.databaseUrl, settings.poolSize);
}

async function openEmbeddedDatabase(dataDir: string): Promise<Database> {
  // 10 MB that a site with a server of its own does without.
  const { openEmbedded } = await import('./embedded.ts');
  const embedded = await openEmbedded(dataDir);
  const kysely = makeKysely(new PGliteDialect({ pglite: embedded.pglite }));
  await makeSchema(kysely);
  return { kysely, embedded: embedded.pglite, close: () => embedded.close() };
}

async function openServer(url: string, poolSize: number): Promise<Database> {
  const types: pg.CustomTypesConfig = {
    getTypeParser: (oid: number, format?: 'text' | 'binary') =>
      oid === int8
        ? Number
        : (pg.types.getTypeParser as (oid: number, format?: string) => (value: string) => unknown)(
            oid,
            format,
          ),
  } as pg.CustomTypesConfig;
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: url,
    max: poolSize,
    application_name: 'forestay',
    connectionTimeoutMillis: 10_000,
    types,
  });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => {});
  const kysely = makeKysely(new PostgresDialect({ pool }));
  await makeSchema(kysely);
  return { kysely, url, close: () => kysely.destroy() };
}

function makeKysely(dialect: Dialect): Kysely<Tables> {
  return new Kysely<Tables>({ dialect }).withSchema('forestay');
}

async function makeSchema(kysely: Kysely<Tables>): Promise<void> {
  const { rows } = await sql`select 1 from pg_namespace where nspname = 'forestay'`.execute(kysely);
  // Asked first because the right to create schemas may be gone once an administrator has made this one.
  if (rows.length === 0) await sql`create schema if not exists forestay`.execute(kysely);
}
