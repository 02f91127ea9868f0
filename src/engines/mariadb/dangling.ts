import { ident, qualified } from './quote.ts';
import type { Session } from './session.ts';

/**
 * A foreign key to a table of its schema that is not there, because somebody dropped that without checks. It would take the
 * next table of that name for its own, be it one of a restore, and follow that wherever it goes.
 */
export interface DanglingKey {
  readonly table: string;
  readonly name: string;
  /** As `ALTER TABLE … ADD` takes it. */
  readonly clause: string;
}

export async function readDangling(session: Session, schema: string): Promise<DanglingKey[]> {
  const rows = await session.query<{ table: string; name: string }>(
    `SELECT r.TABLE_NAME AS \`table\`, r.CONSTRAINT_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS r
     WHERE r.CONSTRAINT_SCHEMA = ? AND r.UNIQUE_CONSTRAINT_SCHEMA = ? AND r.REFERENCED_TABLE_NAME NOT IN
       (SELECT t.TABLE_NAME FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = ?)
     ORDER BY 1, 2`,
    [schema, schema, schema],
  );
  const keys: DanglingKey[] = [];
  for (const { table, name } of rows) {
    const [row = {}] = await session.query<Record<string, string>>(
      `SHOW CREATE TABLE ${qualified(schema, table)}`,
    );
    const lines = (row['Create Table'] ?? '').split('\n').map((line) => line.trim().replace(/,$/, ''));
    const clause = lines.find((line) => line.startsWith(`CONSTRAINT ${ident(name)} FOREIGN KEY `));
    if (clause === undefined) throw new Error('the server does not say what a foreign key is');
    keys.push({ table, name, clause });
  }
  return keys;
}

/** Those that are there. */
export async function dropKeys(
  session: Session,
  schema: string,
  keys: readonly DanglingKey[],
): Promise<void> {
  for (const { table, name } of keys)
    if (await keyExists(session, schema, table, name))
      await session.query(`ALTER TABLE ${qualified(schema, table)} DROP FOREIGN KEY ${ident(name)}`);
}

/** Those that are not there; to nothing, as they were, which needs a session without checks. */
export async function addKeys(session: Session, schema: string, keys: readonly DanglingKey[]): Promise<void> {
  for (const { table, name, clause } of keys)
    if (!(await keyExists(session, schema, table, name)))
      await session.query(`ALTER TABLE ${qualified(schema, table)} ADD ${clause}`);
}

async function keyExists(session: Session, schema: string, table: string, name: string): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM information_schema.REFERENTIAL_CONSTRAINTS
     WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? AND CONSTRAINT_NAME = ?`,
    [schema, table, name],
  );
  return rows.length > 0;
}
