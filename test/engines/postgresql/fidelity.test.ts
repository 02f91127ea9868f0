import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, expect, inject, test, vi } from 'vitest';
import { readTarget } from '../../../src/engines/postgresql/connection.ts';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { withSession } from '../../../src/engines/postgresql/session.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { clientConfig, runSql, withDatabase } from '../../support/postgres-client.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

/** What people do to databases and roles that pg_dump and pg_restore do not expect. */
const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;

let opened: PostgresInstance[] = [];
afterEach(async () => {
  for (const instance of opened) {
    // The server takes a moment to notice that a session was closed; one that is left stays.
    await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
      timeout: 10_000,
      interval: 50,
    });
    await instance.close();
  }
  opened = [];
});

test.for(['owner', 'no createdb'] as const)(
  'time limits, read-only and array_nulls, set for the role, neither end nor bend anything (rights: %s)',
  async (rights) => {
    const instance = await open(rights);
    await instance.asRole(`CREATE TABLE arrays (a text[]); INSERT INTO arrays VALUES ('{a,NULL,"NULL"}')`);
    const before = await instance.fingerprint();
    const role = quoted(instance.role);
    for (const setting of [
      // Until our first statement they count: a busy machine may take that long for it.
      "statement_timeout = '60ms'",
      "lock_timeout = '1ms'",
      'default_transaction_read_only = on',
      'array_nulls = off',
    ])
      await adminSql(`ALTER ROLE ${role} SET ${setting}`);
    const backup = await takeBackup(engine, instance.connection);
    await instance.admin('DELETE FROM arrays');
    const ticket = await restore(instance, backup);
    expect(await instance.fingerprint()).toEqual(before);
    await engine.undo?.discard(instance.connection, ticket.id, never);
  },
);

test('limits of idleness and time that are set for the role do not count for our sessions', async () => {
  const instance = await open('owner');
  const limits = [
    'idle_session_timeout',
    'idle_in_transaction_session_timeout',
    'statement_timeout',
    'lock_timeout',
  ];
  for (const name of limits) await adminSql(`ALTER ROLE ${quoted(instance.role)} SET ${name} = '1h'`);
  const found = await withSession(
    readTarget(instance.connection),
    { signal: never, applicationName: 'forestay' },
    (session) => session.query(`SELECT ${limits.map((name) => `current_setting('${name}') AS ${name}`)}`),
  );
  expect(found).toEqual([Object.fromEntries(limits.map((name) => [name, '0']))]);
});

test('a table that is dropped before its turn comes ends a backup as one to be tried again', async () => {
  const instance = await open('owner');
  await instance.asRole('CREATE TABLE going (a int)');
  const holder = new pg.Client(clientConfig(withDatabase(adminUrl, instance.database)));
  await holder.connect();
  try {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE going IN ACCESS EXCLUSIVE MODE');
    const backup = takeBackup(engine, instance.connection).catch((error: unknown) => error);
    const isWaitedFor = async () =>
      (await holder.query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'going'::regclass"))
        .rowCount === 1;
    await vi.waitUntil(isWaitedFor, { timeout: 20_000, interval: 50 });
    await holder.query('DROP TABLE going');
    await holder.query('COMMIT');
    expect(await backup).toMatchObject({ code: 'InstanceBusy', retryable: true });
  } finally {
    await holder.end();
  }
});

test('a database that is a template is restored, and what was replaced can be discarded and put back', async () => {
  const instance = await open('owner');
  await adminSql(`ALTER DATABASE ${quoted(instance.database)} IS_TEMPLATE true`);
  try {
    const backup = await takeBackup(engine, instance.connection);
    for (const end of ['discard', 'undo'] as const) {
      const ticket = await restore(instance, backup);
      await engine.undo?.[end](instance.connection, ticket.id, never);
      expect(await instance.remains()).toEqual([]);
    }
  } finally {
    await adminSql(`ALTER DATABASE ${quoted(instance.database)} IS_TEMPLATE false`);
  }
});

test('a function in SQL that a restore would call and that names things without their schema is refused with its name', async () => {
  const instance = await open('owner');
  await instance.asRole(`CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
    CREATE FUNCTION folded(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT helper($1)';
    CREATE FUNCTION unused(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT helper($1)';
    CREATE FUNCTION qualified(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT public.helper($1)';
    CREATE TABLE people (name text); CREATE INDEX ON people (folded(name)); CREATE INDEX ON people (qualified(name));
    CREATE VIEW folk AS SELECT unused(name) FROM people`);
  await expect(engine.backUp(instance.connection, never)).rejects.toMatchObject({
    code: 'InstanceRefused',
    message:
      'A restore would fail with functions that name things without their schema: public.folded(text).',
    hint: expect.stringContaining('ALTER FUNCTION public.folded(text) SET search_path'),
  });
  const { warnings } = await engine.probe(instance.connection, never);
  expect(warnings.join()).toContain('public.folded(text)');
  await instance.asRole('ALTER FUNCTION folded SET search_path = public');
  await restore(instance, await takeBackup(engine, instance.connection));
});

test.for([
  [
    'a function in another language that names things without their schema',
    `CREATE TABLE known AS SELECT 'x' AS a;
     CREATE FUNCTION is_known(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM known WHERE a = $1); END';
     CREATE TABLE checked (a text CHECK (is_known(a))); INSERT INTO checked VALUES ('x')`,
    /relation "known" does not exist/,
  ],
  [
    'rows that break a check since its function is another one',
    `CREATE FUNCTION fine(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
     CREATE TABLE checked (a integer CHECK (fine(a))); INSERT INTO checked VALUES (1);
     CREATE OR REPLACE FUNCTION fine(integer) RETURNS boolean LANGUAGE sql AS 'SELECT $1 > 5'`,
    /violates check constraint/,
  ],
] as const)(
  'what does not load is told, with where the rescue is described: %s',
  async ([, sql, message]) => {
    const instance = await open('owner');
    await instance.asRole(sql);
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await expect(restore(instance, backup)).rejects.toMatchObject({
      code: 'IncompatibleBackup',
      message: expect.stringMatching(message),
      hint: expect.stringContaining('Backups that do not load'),
    });
    expect(await instance.fingerprint()).toEqual(before);
  },
);

test('an event trigger that forbids changes does not forbid the restore of itself', async () => {
  const instance = await open('superuser');
  await instance.asRole(`CREATE TABLE source AS SELECT 1 AS a; CREATE MATERIALIZED VIEW seen AS SELECT * FROM source;
    CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not here''; END';
    CREATE EVENT TRIGGER forbidding ON ddl_command_start EXECUTE FUNCTION forbid()`);
  const before = await instance.fingerprint();
  await restore(instance, await takeBackup(engine, instance.connection));
  expect(await instance.fingerprint()).toEqual(before);
  await expect(instance.asRole('CREATE TABLE another ()')).rejects.toThrow('not here');
});

test('what the restored has of the destination instead of the backup is told: versions of extensions, the locale', async () => {
  const source = await open('superuser');
  await source.asRole("CREATE EXTENSION hstore VERSION '1.4'");
  const backup = await takeBackup(engine, source.connection);
  const other = { ...backup.source, details: { ...backup.source.details, collate: 'de_DE.UTF-8' } };
  const { notKept } = await engine.restore(
    source.connection,
    streamOf(backup.bytes),
    ticketFor(other),
    never,
  );
  expect(notKept.join('\n')).toMatch(
    /^The extension hstore has version .+ now; in the backup it had 1\.4\.$/m,
  );
  expect(notKept.join('\n')).toMatch(/^The database keeps its order of sorting, .+ with de_DE\.UTF-8\.$/m);
});

test('money is read in the locale in which it was written, or the restore is refused before it begins', async () => {
  const instance = await open('owner');
  await instance.asRole("CREATE TABLE prices (price money); INSERT INTO prices VALUES ('12.34')");
  const backup = await takeBackup(engine, instance.connection);
  const [server] = await instance.asRole<{ locale: string }>(
    "SELECT current_setting('lc_monetary') AS locale",
  );
  expect(backup.source.details).toMatchObject({ moneyLocale: server?.locale });
  const elsewhere = { ...backup.source, details: { ...backup.source.details, moneyLocale: 'xx_XX' } };
  await expect(engine.assertRestorable(instance.connection, elsewhere, never)).rejects.toMatchObject({
    code: 'IncompatibleBackup',
    message: expect.stringContaining('xx_XX'),
    hint: expect.any(String),
  });
});

test('a restore in place takes back what was granted and said of the schema public meanwhile', async () => {
  const instance = await open('no createdb');
  await instance.admin('GRANT USAGE ON SCHEMA public TO pg_monitor');
  const before = await instance.fingerprint();
  const backup = await takeBackup(engine, instance.connection);
  await instance.admin(`GRANT ALL ON SCHEMA public TO PUBLIC; REVOKE ALL ON SCHEMA public FROM pg_monitor;
    COMMENT ON SCHEMA public IS 'changed'`);
  await restore(instance, backup);
  expect(await instance.fingerprint()).toEqual(before);
});

test('a restore in place empties the schema public of everything that can be in it', async () => {
  const instance = await open('no createdb');
  await instance.asRole(`CREATE TABLE pairs (a integer, b integer); CREATE STATISTICS of_pairs ON a, b FROM pairs;
    CREATE DOMAIN small AS integer CHECK (VALUE < 9); CREATE TYPE pair AS (a small, b text); CREATE TYPE reals AS RANGE (subtype = float8);
    CREATE TABLE typed OF pair; CREATE COLLATION plain FROM "C"; CREATE SEQUENCE numbers; CREATE VIEW seen AS SELECT * FROM pairs;
    CREATE FUNCTION same(pair, pair) RETURNS boolean LANGUAGE sql AS 'SELECT ($1).a = ($2).a';
    CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = pair, FUNCTION = same, COMMUTATOR = ===, NEGATOR = !==);
    CREATE PROCEDURE nothing() LANGUAGE sql AS ''; CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer);
    CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = simple); CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen`);
  const before = await instance.fingerprint();
  await restore(instance, await takeBackup(engine, instance.connection));
  expect(await instance.fingerprint()).toEqual(before);
});

test('more of what only superusers can create is refused before anything is done', async () => {
  const source = await open('superuser');
  await source.asRole(`CREATE SCHEMA published; CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA published;
    CREATE FUNCTION tight(integer) RETURNS boolean LANGUAGE sql LEAKPROOF AS 'SELECT true';
    CREATE CAST (bytea AS json) WITHOUT FUNCTION; CREATE OPERATOR FAMILY family USING btree;
    CREATE TEXT SEARCH TEMPLATE template (LEXIZE = dsimple_lexize)`);
  const backup = await takeBackup(engine, source.connection);
  const destination = await open('owner');
  const refused = await engine
    .assertRestorable(destination.connection, backup.source, never)
    .catch((error: Error) => error);
  for (const thing of [
    'publication of_schema for tables in schema',
    'leakproof function public.tight(integer)',
    'cast without function from bytea to json',
    'operator family family',
    'text search template template',
  ])
    expect(refused).toMatchObject({ code: 'IncompatibleBackup', message: expect.stringContaining(thing) });
});

async function open(rights: Rights): Promise<PostgresInstance> {
  const instance = await makePostgresInstance(adminUrl, rights, randomBytes(2).toString('hex'));
  opened.push(instance);
  return instance;
}

async function restore(instance: PostgresInstance, { bytes, source }: TakenBackup) {
  const ticket = ticketFor(source);
  await engine.restore(instance.connection, streamOf(bytes), ticket, never);
  return ticket;
}

const adminSql = (sql: string) => runSql(withDatabase(adminUrl, 'postgres'), sql);

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
