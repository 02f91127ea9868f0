import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { runSql, withDatabase } from '../../support/postgres-client.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;
const restored = { superuser: 'staged', owner: 'staged', 'no createdb': 'in place' } as const;

let roles: { reader: string; editor: string };
let opened: PostgresInstance[] = [];

beforeEach(async () => {
  const id = randomBytes(4).toString('hex');
  roles = { reader: `reader ${id}; "x" TO`, editor: `éditor_${id}` };
  await adminSql(`CREATE ROLE ${quoted(roles.reader)}; CREATE ROLE ${quoted(roles.editor)}`);
});

afterEach(async () => {
  for (const instance of opened) await instance.close();
  opened = [];
  for (const name of Object.values(roles)) await adminSql(`DROP ROLE IF EXISTS ${quoted(name)}`);
});

describe.for(Object.keys(restored) as Rights[])('with the rights of: %s', (rights) => {
  test('everything PostgreSQL has survives the round trip', async () => {
    const instance = await open(rights);
    await instance.fillWithEverything(roles);
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.asRole(
      'DROP TABLE app.orders; CREATE TABLE other (); ALTER TABLE app.people DROP COLUMN name CASCADE',
    );
    const ticket = ticketFor(backup.source);
    const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
    expect(report).toMatchObject({ method: restored[rights], notKept: [] });
    expect(await instance.fingerprint()).toEqual(before);
    await engine.undo?.discard(instance.connection, ticket.id, never);
  });

  test('where roles are missing the data goes to the connecting role, and what is lost is told', async () => {
    const source = await open(rights);
    await source.fillWithEverything(roles);
    const before = await source.fingerprint();
    const backup = await takeBackup(engine, source.connection);
    const destination = await open(rights);
    await forget(source);
    await adminSql(`DROP ROLE ${quoted(roles.editor)}`);

    const report = await engine.restore(
      destination.connection,
      streamOf(backup.bytes),
      ticketFor(backup.source),
      never,
    );
    const after = await destination.fingerprint();
    expect(after.tables).toEqual(before.tables);
    expect(after.largeObjects).toEqual(before.largeObjects);
    expect(after.sequences).toEqual(before.sequences);
    const [text, notKept] = [after.schema.join('\n'), report.notKept.join('\n')];
    expect(notKept).toContain(roles.editor);
    expect(notKept).toContain(source.role);
    expect(notKept).not.toContain(`"${roles.reader}" does not exist`);
    // Grants to roles that are there are kept, also those that stand beside a missing one.
    const reader = quoted(roles.reader);
    expect(text).toContain(`GRANT SELECT ON TABLE app.people TO ${reader}`);
    expect(text).toMatch(/CREATE POLICY "both; TO" ON app.secrets AS RESTRICTIVE TO "reader/);
    expect(text).not.toContain(roles.editor);
    const withoutRoles = (lines: readonly string[]) =>
      lines.filter(
        (line) =>
          !/ OWNER TO |^(GRANT|REVOKE|ALTER DEFAULT|CREATE POLICY|SET SESSION|RESET SESSION)/.test(line),
      );
    expect(withoutRoles(after.schema)).toEqual(withoutRoles(before.schema));
  });
});

test.for(['superuser', 'owner'] as const)(
  'owner, settings, grants, comment, limit and locale of the replaced database are kept for a %s',
  async (rights) => {
    const instance = await open(rights);
    const [name, role, reader] = [quoted(instance.database), quoted(instance.role), quoted(roles.reader)];
    await adminSql(`ALTER DATABASE ${name} SET search_path = app, "od""d, x", public; ALTER DATABASE ${name} SET work_mem = '7MB';
      ALTER DATABASE ${name} CONNECTION LIMIT 17; ALTER DATABASE ${name} SET application_name = 'it''s \\ here';
      ALTER ROLE ${role} IN DATABASE ${name} SET statement_timeout = '1h'; COMMENT ON DATABASE ${name} IS 'it''s mine';
      REVOKE ALL ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO ${reader} WITH GRANT OPTION`);
    const properties = () =>
      adminSql(`SELECT datdba, encoding, datcollate, datctype, datlocprovider, daticulocale, dattablespace, datconnlimit, datallowconn,
        (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database'),
        (SELECT json_agg(json_build_array(setrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = '${instance.database}'`);
    const before = await properties();
    const backup = await takeBackup(engine, instance.connection);
    const report = await engine.restore(
      instance.connection,
      streamOf(backup.bytes),
      ticketFor(backup.source),
      never,
    );
    expect(report.notKept).toEqual([]);
    expect(await properties()).toEqual(before);
  },
);

test('settings that the role may not give are told', async () => {
  const instance = await open('owner');
  await adminSql(`ALTER DATABASE ${quoted(instance.database)} SET log_statement = 'all'`);
  const backup = await takeBackup(engine, instance.connection);
  const report = await engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  expect(report.notKept).toEqual([expect.stringContaining('log_statement')]);
});

test('an ICU database stays one, and a database without a schema public too', async () => {
  const instance = await open('superuser');
  const name = quoted(instance.database);
  await adminSql(`DROP DATABASE ${name} WITH (FORCE)`);
  await adminSql(
    `CREATE DATABASE ${name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn' ENCODING 'UTF8'`,
  );
  await adminSql(`ALTER DATABASE ${name} OWNER TO ${quoted(instance.role)}`);
  await instance.asRole('DROP SCHEMA public; CREATE SCHEMA x; CREATE TABLE x.t AS SELECT 1 AS a');
  const before = await instance.fingerprint();
  const backup = await takeBackup(engine, instance.connection);
  await engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
  expect(await instance.fingerprint()).toEqual(before);
  const [row] = await instance.admin<{ locale: string }>(
    'SELECT daticulocale AS locale FROM pg_database WHERE datname = current_database()',
  );
  expect(row?.locale).toBe('de-u-kn');
});

test('rows that row-level security would hide make a backup fail instead of being lost', async () => {
  const instance = await open('owner');
  await instance.asRole(`CREATE TABLE hidden AS SELECT 1 AS a; ALTER TABLE hidden ENABLE ROW LEVEL SECURITY`);
  await takeBackup(engine, instance.connection);
  await instance.asRole('ALTER TABLE hidden FORCE ROW LEVEL SECURITY');
  expect((await engine.probe(instance.connection, never)).warnings.join()).toContain('Row-level security');
  await expect(engine.backUp(instance.connection, never)).rejects.toMatchObject({ code: 'InstanceRefused' });
});

test('tables that the role may not read make a backup fail', async () => {
  const instance = await open('owner');
  await instance.admin('CREATE TABLE foreign_owner AS SELECT 1 AS a');
  await expect(takeBackup(engine, instance.connection)).rejects.toMatchObject({ code: 'InstanceRefused' });
});

test('what only a superuser can create is refused before anything is done', async () => {
  const source = await open('superuser');
  await source.fillWithEverything(roles);
  const backup = await takeBackup(engine, source.connection);
  const destination = await open('owner');
  const expected = { code: 'IncompatibleBackup', message: expect.stringContaining('event trigger on_ddl') };
  await expect(engine.assertRestorable(destination.connection, backup.source, never)).rejects.toMatchObject(
    expected,
  );
  const restoring = engine.restore(
    destination.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  await expect(restoring).rejects.toMatchObject(expected);
});

test('an extension only for superusers that is there already is restored around, in place', async () => {
  const instance = await open('owner');
  await instance.admin('CREATE EXTENSION postgres_fdw; CREATE EXTENSION pageinspect');
  await instance.asRole('CREATE TABLE kept AS SELECT 1 AS a');
  const before = await instance.fingerprint();
  const backup = await takeBackup(engine, instance.connection);
  await instance.write();
  const report = await engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  expect(report.method).toBe('in place');
  expect(await instance.fingerprint()).toEqual(before);
  const empty = await open('owner');
  await expect(engine.assertRestorable(empty.connection, backup.source, never)).rejects.toMatchObject({
    code: 'IncompatibleBackup',
    message: expect.stringContaining('pageinspect'),
  });
});

test('a backup of a newer server is refused', async () => {
  const instance = await open('owner');
  const { bytes, source } = await takeBackup(engine, instance.connection);
  const newer = { ...source, details: { ...source.details, serverVersion: '99.1' } };
  await expect(engine.assertRestorable(instance.connection, newer, never)).rejects.toMatchObject({
    code: 'IncompatibleBackup',
  });
  await expect(
    engine.restore(instance.connection, streamOf(bytes), ticketFor(newer), never),
  ).rejects.toMatchObject({
    code: 'IncompatibleBackup',
  });
  const foreign = { ...source, details: {} };
  await expect(engine.assertRestorable(instance.connection, foreign, never)).rejects.toMatchObject({
    code: 'IncompatibleBackup',
  });
});

async function open(rights: Rights): Promise<PostgresInstance> {
  const instance = await makePostgresInstance(adminUrl, rights);
  opened.push(instance);
  return instance;
}

/** Closes an instance whose role is mentioned in a backup. */
async function forget(instance: PostgresInstance): Promise<void> {
  await instance.close();
  opened = opened.filter((other) => other !== instance);
}

const adminSql = (sql: string) => runSql(withDatabase(adminUrl, 'postgres'), sql);

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
