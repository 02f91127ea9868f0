import { ident, literal } from './quote.ts';
import type { Session } from './session.ts';

/** The properties of a database that lie outside it, so that no dump has them. */
export interface DatabaseProperties {
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** `c`, `i` (ICU) or `b` (builtin). */
  readonly provider: string;
  readonly locale: string | null;
  readonly icuRules: string | null;
  /** Null when it is that of new databases anyway, which needs no right to be named. */
  readonly tablespace: string | null;
  readonly connectionLimit: number;
  readonly isTemplate: boolean;
  readonly comment: string | null;
  readonly grants: readonly { grantee: string | null; privilege: string; grantable: boolean }[];
  /** Settings of the database (`role` null) and of roles in it, as `name=value`. */
  readonly settings: readonly { role: string | null; setting: string }[];
}

export async function readProperties(
  session: Session,
  database: string,
): Promise<DatabaseProperties | undefined> {
  // Through jsonb, because which columns there are depends on the version of the server.
  const [row] = await session.query<DatabaseProperties>(
    `SELECT pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
            d.datcollate AS collate, d.datctype AS ctype,
            coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS provider,
            coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
            to_jsonb(d) ->> 'daticurules' AS "icuRules",
            CASE WHEN d.dattablespace = (SELECT dattablespace FROM pg_database WHERE datname = 'template0') THEN NULL ELSE t.spcname END AS tablespace, d.datconnlimit AS "connectionLimit", d.datistemplate AS "isTemplate",
            shobj_description(d.oid, 'pg_database') AS comment,
            (SELECT coalesce(json_agg(json_build_object('grantee', CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
                     'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]')
             FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a) AS grants,
            (SELECT coalesce(json_agg(json_build_object('role', CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END,
                     'setting', c.setting) ORDER BY c.position), '[]')
             FROM pg_db_role_setting s, unnest(s.setconfig) WITH ORDINALITY AS c(setting, position)
             WHERE s.setdatabase = d.oid) AS settings
     FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = $1`,
    [database],
  );
  return row;
}

/** An empty database like the old one, which nobody but its owner may connect to yet. */
export async function createStaging(
  session: Session,
  name: string,
  properties: DatabaseProperties,
): Promise<void> {
  const { provider, locale } = properties;
  const parts = [
    `CREATE DATABASE ${ident(name)} TEMPLATE template0 OWNER ${ident(properties.owner)}`,
    `ENCODING ${literal(properties.encoding)} LC_COLLATE ${literal(properties.collate)} LC_CTYPE ${literal(properties.ctype)}`,
  ];
  if (properties.tablespace !== null) parts.push(`TABLESPACE ${ident(properties.tablespace)}`);
  if (provider === 'i' && locale !== null) parts.push(`LOCALE_PROVIDER icu ICU_LOCALE ${literal(locale)}`);
  if (provider === 'i' && properties.icuRules !== null)
    parts.push(`ICU_RULES ${literal(properties.icuRules)}`);
  if (provider === 'b' && locale !== null)
    parts.push(`LOCALE_PROVIDER builtin BUILTIN_LOCALE ${literal(locale)}`);
  await session.query(parts.join(' '));
  await session.query(`REVOKE ALL ON DATABASE ${ident(name)} FROM PUBLIC`);
}

/**
 * Gives a database the grants, settings, comment and connection limit of another. Resolves with a sentence for each that
 * the role may not give.
 */
export async function applyProperties(
  session: Session,
  name: string,
  properties: DatabaseProperties,
): Promise<string[]> {
  const database = ident(name);
  const notKept: string[] = [];
  const attempt = async (sql: string, what: string) => {
    try {
      await session.query(sql);
    } catch (error) {
      const { code, message } = error as { code?: string; message?: string };
      // No right, or a role or parameter that is gone: of the connection or of the server's state all else is an error.
      if (!/^(42501|42704|0LP01)$/.test(code ?? '')) throw error;
      notKept.push(`${what} of the database was not kept: ${message}.`);
    }
  };
  await session.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC, ${ident(properties.owner)}`);
  for (const { grantee, privilege, grantable } of properties.grants) {
    const to = grantee === null ? 'PUBLIC' : ident(grantee);
    await attempt(
      `GRANT ${privilege} ON DATABASE ${database} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`,
      `The grant of ${privilege} to ${grantee ?? 'PUBLIC'}`,
    );
  }
  for (const { role, setting } of properties.settings) {
    const equals = setting.indexOf('=');
    const [key, value] = [setting.slice(0, equals), setting.slice(equals + 1)];
    const where = role === null ? `DATABASE ${database}` : `ROLE ${ident(role)} IN DATABASE ${database}`;
    const what = `The setting ${key}${role === null ? '' : ` for ${role}`}`;
    await attempt(`ALTER ${where} SET ${settingName(key)} TO ${settingValue(key, value)}`, what);
  }
  if (properties.comment !== null) {
    await attempt(`COMMENT ON DATABASE ${database} IS ${literal(properties.comment)}`, 'The comment');
  }
  await session.query(`ALTER DATABASE ${database} CONNECTION LIMIT ${properties.connectionLimit}`);
  if (properties.isTemplate) await attempt(`ALTER DATABASE ${database} IS_TEMPLATE true`, 'Being a template');
  return notKept;
}

/** Lists of names are stored as they were quoted, and must be given as a list again (pg_dump: dumputils.c). */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

function settingName(key: string): string {
  return key.split('.').map(ident).join('.');
}

function settingValue(key: string, value: string): string {
  if (!listSettings.has(key.toLowerCase())) return literal(value);
  const names = value.match(/"(?:[^"]|"")*"|[^,\s]+/g) ?? [];
  if (names.length === 0) return "''";
  return names
    .map((name) => literal(name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name))
    .join(', ');
}
