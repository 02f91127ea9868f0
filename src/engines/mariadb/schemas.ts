import { ident } from './quote.ts';
import type { Session } from './session.ts';

/** Whether there is such a table or view. */
export async function tableExists(session: Session, schema: string, table: string): Promise<boolean> {
  const rows = await session.query(
    'SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?',
    [schema, table],
  );
  return rows.length > 0;
}

/** All schemas whose names begin like this. */
export async function schemasWith(session: Session, prefix: string): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE LEFT(SCHEMA_NAME, ?) = ?',
    [prefix.length, prefix],
  );
  return rows.map(({ name }) => name);
}

/** Drops a schema with everything in it; does nothing where it is not there. */
export async function dropSchema(session: Session, schema: string): Promise<void> {
  await session.query('SET SESSION foreign_key_checks = 0');
  await session.query(`DROP DATABASE IF EXISTS ${ident(schema)}`);
}

/** An empty schema, with the defaults for new tables. Left-overs of the same name are dropped. */
export async function createSchema(
  session: Session,
  schema: string,
  { charset, collation }: { readonly charset: string; readonly collation: string },
): Promise<void> {
  await dropSchema(session, schema);
  await session.query(
    `CREATE DATABASE ${ident(schema)} CHARACTER SET ${ident(charset)} COLLATE ${ident(collation)}`,
  );
}
