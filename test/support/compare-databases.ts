import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { clientConfig } from './postgres-client.ts';
import { findServerBinaries } from './postgres-server.ts';

/** What a database holds, in a form that is equal when the databases are: compare with `toEqual`. */
export interface DatabaseFingerprint {
  /** `pg_dump --schema-only`, without what names the run; one entry a line, so that differences are readable. */
  readonly schema: readonly string[];
  /** Rows and a digest of all rows in order, for each table and materialised view; by quoted name. */
  readonly tables: Readonly<Record<string, string>>;
  /** Last value and whether it was used, for each sequence. */
  readonly sequences: Readonly<Record<string, string>>;
  /** A digest for each large object. */
  readonly largeObjects: Readonly<Record<string, string>>;
}

/** Reads it with the rights of the URL, which should be a superuser's: row-level security hides rows from others. */
export async function databaseFingerprint(url: string): Promise<DatabaseFingerprint> {
  return { schema: await readSchema(url), ...(await dataFingerprint(url)) };
}

/** The same without the schema, which only a pg_dump that is not older than the server reads. */
export async function dataFingerprint(url: string): Promise<Omit<DatabaseFingerprint, 'schema'>> {
  const client = new pg.Client({ ...clientConfig(url), application_name: 'compare' });
  await client.connect();
  try {
    await client.query(
      "SET work_mem = '64MB'; SET row_security = off; SET extra_float_digits = 3; SET datestyle = 'ISO'; SET timezone = 'UTC'",
    );
    return {
      tables: await readAll(client, tablesSql, (name) => [
        `SELECT count(*) || ' rows ' || coalesce(md5(string_agg(digest, '' ORDER BY digest)), '') AS value
         FROM (SELECT md5(t::text) COLLATE "C" AS digest FROM ${name} t) digests`,
      ]),
      sequences: await readAll(client, sequencesSql, (name) => [
        `SELECT last_value || ' ' || is_called AS value FROM ${name}`,
      ]),
      largeObjects: await readAll(
        client,
        'SELECT oid::text AS name FROM pg_largeobject_metadata ORDER BY oid',
        (name) => ['SELECT md5(lo_get($1::oid)) AS value', [name]],
      ),
    };
  } finally {
    await client.end();
  }
}

const tablesSql = `SELECT format('%I.%I', nspname, relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_(toast|temp)'
    AND (relkind = 'r' OR relispopulated) ORDER BY 1`;
const sequencesSql = `SELECT format('%I.%I', nspname, relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind = 'S' ORDER BY 1`;

async function readAll(
  client: pg.Client,
  listSql: string,
  queryFor: (name: string) => [string, unknown[]?],
): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string }>(listSql);
  const result: Record<string, string> = {};
  for (const { name } of rows) {
    const found = await client.query<{ value: string }>(...queryFor(name));
    result[name] = found.rows[0]?.value ?? '';
  }
  return result;
}

/** Not by the code under test, and with the password in the environment. */
async function readSchema(url: string): Promise<string[]> {
  const { host, port, user, password, database } = clientConfig(url);
  const { stdout } = await promisify(execFile)(
    join(findServerBinaries() ?? '', 'pg_dump'),
    ['--schema-only', '-w'],
    {
      maxBuffer: 256 * 1024 * 1024,
      env: {
        PGHOST: host ?? '',
        PGPORT: String(port),
        PGUSER: user ?? '',
        PGPASSWORD: String(password),
        PGDATABASE: database ?? '',
        LC_ALL: 'C',
      },
    },
  );
  return stdout.split('\n').filter((line) => line !== '' && !/^(--|\\restrict|\\unrestrict)/.test(line));
}
