import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { ident } from './quote.ts';
import type { Session } from './session.ts';

/** What the server and the database are like, and what the connecting user may do there. */
export interface Place {
  readonly flavor: 'MariaDB' | 'MySQL';
  /** `10.11.19` */
  readonly version: string;
  /** `user@host`, as the server knows the account. */
  readonly account: string;
  readonly maxAllowedPacket: number;
  /** The name of the schema as the server writes it, which may be in small letters only. */
  readonly schema: string;
  readonly charset: string;
  readonly collation: string;
  /** Whether names of schemas are the same in capitals and small letters. */
  readonly ignoresCase: boolean;
  /** What `SHOW GRANTS` says. */
  readonly grants: readonly Grant[];
}

export interface Grant {
  readonly privileges: ReadonlySet<string>;
  /** A pattern of names, or undefined for `*.*`. */
  readonly schema: string | undefined;
}

export const backupRights = ['SELECT', 'SHOW VIEW', 'TRIGGER', 'EVENT', 'EXECUTE'] as const;
export const restoreRights = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'REFERENCES',
  'INDEX',
  'ALTER',
  'LOCK TABLES',
  'CREATE VIEW',
  'SHOW VIEW',
  'CREATE ROUTINE',
  'ALTER ROUTINE',
  'EXECUTE',
  'EVENT',
  'TRIGGER',
] as const;

/** Throws `InstanceRefused` when the database is not there. */
export async function readPlace(session: Session, { database }: Target): Promise<Place> {
  const [server] = await session.query<{
    version: string;
    account: string;
    maxAllowedPacket: number;
    lowerCase: number;
  }>(
    `SELECT VERSION() AS version, CURRENT_USER() AS account, @@max_allowed_packet AS maxAllowedPacket,
            @@lower_case_table_names AS lowerCase`,
  );
  const [found] = await session.query<{ schema: string; charset: string; collation: string }>(
    `SELECT SCHEMA_NAME AS \`schema\`, DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
     FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?`,
    [database],
  );
  if (!server) throw new Error('the server does not say who it is');
  if (!found) {
    throw new ForestayError('InstanceRefused', 'The database is not there, or the user may not see it.', {
      hint: 'Check the name of the database and the rights of the user.',
    });
  }
  const rows = await session.query<Record<string, string>>('SHOW GRANTS');
  return {
    flavor: /mariadb/i.test(server.version) ? 'MariaDB' : 'MySQL',
    version: /\d+\.\d+\.\d+/.exec(server.version)?.[0] ?? server.version,
    account: server.account,
    maxAllowedPacket: Number(server.maxAllowedPacket),
    ...found,
    ignoresCase: Number(server.lowerCase) !== 0,
    grants: rows.flatMap((row) => parseGrant(Object.values(row)[0] ?? '') ?? []),
  };
}

/** Rights on a schema that the user lacks, of those asked for. */
export function missingRights(place: Place, schema: string, wanted: readonly string[]): string[] {
  const held = place.grants.filter(
    (grant) => grant.schema === undefined || matches(grant.schema, schema, place.ignoresCase),
  );
  return wanted.filter(
    (right) => !held.some(({ privileges }) => privileges.has('ALL') || privileges.has(right)),
  );
}

/** The statement that gives the rights a staged restore needs. */
export function stagingGrant(place: Place): string {
  const at = place.account.lastIndexOf('@');
  const who = `'${place.account.slice(0, at)}'@'${place.account.slice(at + 1)}'`;
  return `GRANT ALL PRIVILEGES ON ${ident('forestay\\_%')}.* TO ${who}`;
}

/** Grants on tables, columns and routines are none of a whole schema. */
function parseGrant(line: string): Grant | undefined {
  const [, list, where] = /^GRANT (.*?) ON (\*|`(?:[^`]|``)*`|"(?:[^"]|"")*")\.\* TO /s.exec(line) ?? [];
  if (list === undefined || where === undefined) return undefined;
  const privileges = new Set(list.split(',').map((right) => right.trim().replace(/^ALL PRIVILEGES$/, 'ALL')));
  if (where === '*') return { privileges, schema: undefined };
  const quote = where.charAt(0);
  return { privileges, schema: where.slice(1, -1).replaceAll(quote + quote, quote) };
}

/** As LIKE does: `_` one character, `%` any number, a backslash before them makes them plain. */
function matches(pattern: string, name: string, ignoresCase: boolean): boolean {
  const source = pattern.replaceAll(/\\([_%\\])|([_%])|[\s\S]/gu, (found, plain: string, wild: string) => {
    if (wild) return wild === '_' ? '[\\s\\S]' : '[\\s\\S]*';
    return (plain ?? found).replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, ignoresCase ? 'iu' : 'u').test(name);
}
