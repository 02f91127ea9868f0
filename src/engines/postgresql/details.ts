import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Session } from './session.ts';

/** `directory`: a tar of the folder that parallel jobs wrote. */
const archiveFormats = ['custom', 'directory'] as const;
export type ArchiveFormat = (typeof archiveFormats)[number];

/** What a backup says of the database it was made of; `restore` decides by it. */
export const DetailsSchema = Type.Object({
  database: Type.String(),
  owner: Type.String(),
  encoding: Type.String(),
  collate: Type.String(),
  ctype: Type.String(),
  localeProvider: Type.String(),
  serverVersion: Type.String(),
  /** Of pg_dump; pg_restore must not be older. */
  toolVersion: Type.String(),
  /** Who owns anything in it. */
  owners: Type.Array(Type.String()),
  /** Who is named in grants, default privileges and policies. */
  grantees: Type.Array(Type.String()),
  /** The role the server was made with: the server does not record what mentions it. */
  bootstrapRole: Type.String(),
  /** Whether there is a schema `public`; a new database always has one. */
  publicSchema: Type.Boolean(),
  /** Tables, indexes, sequences, views: where there were some, a restore without any did not happen. */
  relations: Type.Integer({ minimum: 0 }),
  extensions: Type.Array(Type.Object({ name: Type.String(), version: Type.String() })),
  tablespaces: Type.Array(Type.String()),
  /** What only a superuser can create again. */
  superuserOnly: Type.Array(Type.String()),
  /** `lc_monetary`, where there are columns of type money: the locale in which they are written. */
  moneyLocale: Type.Optional(Type.String()),
  /** Missing in backups from before there was another form than `custom`. */
  format: Type.Optional(Type.Enum([...archiveFormats])),
  /** How large the archive is outside of the store, in bytes; known when it is complete. */
  archiveBytes: Type.Optional(Type.Integer({ minimum: 0 })),
});

export type Details = Static<typeof DetailsSchema>;

export function parseDetails(details: unknown): Details {
  if (Value.Check(DetailsSchema, details)) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup does not say what a PostgreSQL restore needs to know.',
    {
      hint: 'It was made by another engine or version; its data is a pg_dump archive that pg_restore reads.',
    },
  );
}

/** Reads the details of the session's database. */
export async function readDetails(session: Session, toolVersion: string): Promise<Details> {
  const [database] = await session.query<
    Omit<
      Details,
      | 'moneyLocale'
      | 'owners'
      | 'grantees'
      | 'extensions'
      | 'tablespaces'
      | 'superuserOnly'
      | 'toolVersion'
      | 'format'
    > & { moneyLocale: string | null }
  >(
    `SELECT d.datname AS database, pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
            d.datcollate AS collate, d.datctype AS ctype,
            coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') AS "localeProvider",
            current_setting('server_version') AS "serverVersion", pg_get_userbyid(10) AS "bootstrapRole",
            to_regnamespace('public') IS NOT NULL AS "publicSchema",
            ${relationsSql} AS relations,
            CASE WHEN ${moneySql} THEN current_setting('lc_monetary') END AS "moneyLocale"
     FROM pg_database d WHERE d.datname = current_database()`,
  );
  if (!database) throw new Error('pg_database does not list the current database');
  const texts = async (sql: string) => (await session.query<{ text: string }>(sql)).map(({ text }) => text);
  const { moneyLocale, ...facts } = database;
  const [schemas] = await session.query<{ known: boolean }>(
    "SELECT to_regclass('pg_publication_namespace') IS NOT NULL AS known",
  );
  return {
    ...facts,
    ...(moneyLocale === null ? {} : { moneyLocale }),
    toolVersion,
    owners: await texts(ownersSql),
    grantees: await texts(granteesSql),
    extensions: await session.query<{ name: string; version: string }>(
      'SELECT extname AS name, extversion AS version FROM pg_extension ORDER BY 1',
    ),
    tablespaces: await texts(tablespacesSql),
    superuserOnly: await texts(
      `${superuserOnlySql} ${schemas?.known ? `UNION ${publishedSchemasSql}` : ''} ORDER BY 1`,
    ),
  };
}

/** An expression: how many there are in the session's database. */
export const relationsSql = `(SELECT count(*)::int FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f'))`;

/** Catalogues of things with owners. What belongs to an extension is not in a dump; what initdb made neither. */
const owned: readonly (readonly [catalogue: string, owner: string])[] = [
  ['pg_class', 'relowner'],
  ['pg_namespace', 'nspowner'],
  ['pg_proc', 'proowner'],
  ['pg_type', 'typowner'],
  ['pg_operator', 'oprowner'],
  ['pg_opclass', 'opcowner'],
  ['pg_opfamily', 'opfowner'],
  ['pg_collation', 'collowner'],
  ['pg_conversion', 'conowner'],
  ['pg_ts_dict', 'dictowner'],
  ['pg_ts_config', 'cfgowner'],
  ['pg_language', 'lanowner'],
  ['pg_foreign_data_wrapper', 'fdwowner'],
  ['pg_foreign_server', 'srvowner'],
  ['pg_event_trigger', 'evtowner'],
  ['pg_publication', 'pubowner'],
  ['pg_statistic_ext', 'stxowner'],
  ['pg_largeobject_metadata', 'lomowner'],
];

const firstNormalOid = 16384;

const ownersSql = `SELECT DISTINCT pg_get_userbyid(o.owner)::text AS text FROM (
  ${owned
    .map(
      ([catalogue, owner]) =>
        `SELECT '${catalogue}'::regclass AS classid, oid AS objid, ${owner} AS owner FROM ${catalogue} WHERE oid >= ${firstNormalOid}`,
    )
    .join(' UNION ALL ')}
  ) o WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid AND e.deptype IN ('e', 'i')
      -- A partitioned table depends on its own key.
      AND (e.refclassid, e.refobjid) <> (e.classid, e.objid))
    AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE o.classid = 'pg_class'::regclass AND c.oid = o.objid AND n.nspname ~ '^pg_(toast|temp)')
  ORDER BY 1`;

const granteesSql = `SELECT DISTINCT pg_get_userbyid(refobjid)::text AS text FROM pg_shdepend
  WHERE refclassid = 'pg_authid'::regclass AND (deptype IN ('a', 'r') OR classid = 'pg_default_acl'::regclass)
    AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION SELECT usename::text FROM pg_user_mappings WHERE umuser <> 0 ORDER BY 1`;

const tablespacesSql = `SELECT DISTINCT spcname::text AS text FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
  WHERE c.oid >= ${firstNormalOid} AND spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1`;

const superuserOnlySql = `SELECT 'event trigger ' || quote_ident(evtname) AS text FROM pg_event_trigger v
    WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_event_trigger'::regclass AND e.objid = v.oid AND e.deptype = 'e')
  UNION ALL SELECT 'publication ' || quote_ident(pubname) || ' for all tables' FROM pg_publication WHERE puballtables
  UNION ALL SELECT 'foreign data wrapper ' || quote_ident(fdwname) FROM pg_foreign_data_wrapper f
    WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_foreign_data_wrapper'::regclass AND e.objid = f.oid AND e.deptype = 'e')
  UNION ALL SELECT 'function ' || p.oid::regprocedure::text || ' in ' || l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT l.lanpltrusted AND p.prokind <> 'a' AND p.oid >= ${firstNormalOid}
    AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype IN ('e', 'i'))
  UNION ALL SELECT 'leakproof function ' || oid::regprocedure::text FROM pg_proc
    WHERE proleakproof AND oid >= ${firstNormalOid} AND ${notOfExtension('pg_proc')}
  UNION ALL SELECT 'cast without function from ' || format_type(castsource, NULL) || ' to ' || format_type(casttarget, NULL) FROM pg_cast
    WHERE castmethod = 'b' AND oid >= ${firstNormalOid} AND ${notOfExtension('pg_cast')}
  ${[
    ['operator family', 'pg_opfamily', 'opfname'],
    ['text search parser', 'pg_ts_parser', 'prsname'],
    ['text search template', 'pg_ts_template', 'tmplname'],
    ['access method', 'pg_am', 'amname'],
  ]
    .map(
      ([what, catalogue, name]) =>
        `UNION ALL SELECT '${what} ' || quote_ident(${name}) FROM ${catalogue} WHERE oid >= ${firstNormalOid} AND ${notOfExtension(catalogue ?? '')}`,
    )
    .join(' ')}`;

/** Known from version 15 on. */
const publishedSchemasSql = `SELECT 'publication ' || quote_ident(pubname) || ' for tables in schema' FROM pg_publication_namespace
  JOIN pg_publication p ON p.oid = pnpubid`;

function notOfExtension(catalogue: string): string {
  return `NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '${catalogue}'::regclass AND e.objid = ${catalogue}.oid AND e.deptype = 'e')`;
}

/** An expression: whether rows may hold money. */
const moneySql = `(EXISTS (SELECT FROM pg_attribute WHERE attrelid >= ${firstNormalOid} AND atttypid IN ('money'::regtype, 'money[]'::regtype))
  OR EXISTS (SELECT FROM pg_type WHERE typbasetype IN ('money'::regtype, 'money[]'::regtype)))`;
