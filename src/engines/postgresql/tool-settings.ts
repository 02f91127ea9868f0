import type { Session } from './session.ts';
import { neededSql } from './settings.ts';

/** Those that sessions of the role begin with otherwise. Names and values, for `openToolEnvironment`. */
export async function settingsForTools(session: Session): Promise<Record<string, string>> {
  const rows = await session.query<{ name: string; value: string }>(
    `SELECT n.name, n.value FROM ${neededSql} JOIN pg_settings s ON s.name = n.name WHERE s.reset_val <> n.value`,
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}
