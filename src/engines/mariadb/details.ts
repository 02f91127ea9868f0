import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Place } from './place.ts';
import type { Session } from './session.ts';

/** What a backup says of the database it was made of; `restore` decides by it. It lies in the manifest in the clear. */
export const DetailsSchema = Type.Object({
  database: Type.String(),
  flavor: Type.Enum(['MariaDB', 'MySQL']),
  serverVersion: Type.String(),
  /** Of mariadb-dump. */
  toolVersion: Type.String(),
  /** `user@host` that made the backup: what it had defined is defined by whoever restores. */
  account: Type.String(),
  charset: Type.String(),
  collation: Type.String(),
  /** Tables and sequences: where there were some, a restore without any did not happen. */
  tables: Type.Integer({ minimum: 0 }),
  programs: Type.Integer({ minimum: 0 }),
  /** How many tables there are of each engine that knows no transactions. */
  notTransactional: Type.Record(Type.String(), Type.Integer()),
});

export type Details = Static<typeof DetailsSchema>;

export function parseDetails(details: unknown): Details {
  if (Value.Check(DetailsSchema, details)) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup does not say what a MariaDB restore needs to know.',
    {
      hint: 'It was made by another engine or version; its data is a script that the mariadb client reads.',
    },
  );
}

/** A table or sequence of the database. */
export interface Table {
  readonly name: string;
  readonly type: 'BASE TABLE' | 'SYSTEM VERSIONED' | 'SEQUENCE';
  readonly engine: string | null;
}

/** Everything with rows, by name. */
export async function readTables(session: Session, schema: string): Promise<Table[]> {
  return session.query<Table>(
    `SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = ? AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') ORDER BY TABLE_NAME`,
    [schema],
  );
}

export async function countNotTransactional(
  session: Session,
  schema: string,
): Promise<Record<string, number>> {
  const rows = await session.query<{ engine: string; count: number }>(
    `SELECT t.ENGINE AS engine, COUNT(*) AS count FROM information_schema.TABLES t
       JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
     WHERE t.TABLE_SCHEMA = ? AND t.TABLE_TYPE <> 'SEQUENCE' AND coalesce(e.TRANSACTIONS, 'NO') <> 'YES'
     GROUP BY t.ENGINE ORDER BY t.ENGINE`,
    [schema],
  );
  return Object.fromEntries(rows.map(({ engine, count }) => [engine, Number(count)]));
}

/** `3 of MyISAM, 1 of Aria` */
export function describeCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([engine, count]) => `${count} of ${engine}`)
    .join(', ');
}

export function detailsOf(
  place: Place,
  rest: Omit<Details, 'database' | 'flavor' | 'serverVersion' | 'account' | 'charset' | 'collation'>,
): Details {
  const { schema, flavor, version, account, charset, collation } = place;
  return { database: schema, flavor, serverVersion: version, account, charset, collation, ...rest };
}
