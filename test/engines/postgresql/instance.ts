import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { type FullInstance, type InstanceFixture, takeBackup } from '../../contract/engine-contract.ts';
import { mountTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { type DatabaseFingerprint, databaseFingerprint } from '../../support/compare-databases.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import { clientConfig, runSql, withDatabase } from '../../support/postgres-client.ts';

export type Rights = 'superuser' | 'owner' | 'no createdb';

/** A database with a role of its own, on the server of the run. */
export interface PostgresInstance extends InstanceFixture {
  fingerprint(): Promise<DatabaseFingerprint>;
  readonly wrong: NonNullable<InstanceFixture['wrong']>;
  readonly database: string;
  readonly role: string;
  readonly url: string;
  /** Runs SQL in the database, as a superuser or as the role. */
  admin<Row extends pg.QueryResultRow>(sql: string, database?: string): Promise<Row[]>;
  asRole<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]>;
  /** Fixture files with everything a backup could lose. */
  fillWithEverything(roles: { reader: string; editor: string }): Promise<void>;
}

const engine = createPostgresqlEngine();
const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

/** In a tablespace with room for the database, but not for another one. */
export async function fullPostgres(
  adminUrl: string,
  rights: Rights,
  change: (instance: PostgresInstance) => PostgresInstance = (instance) => instance,
): Promise<FullInstance> {
  const sql = (text: string) => runSql<{ folder: string }>(adminUrl, text);
  const instance = change(await makePostgresInstance(adminUrl, rights));
  await instance.fill('bulk');
  const backup = await takeBackup(engine, instance.connection);
  await using making = new AsyncDisposableStack();
  const disk = making.use(await mountTmpfs('19m'));
  const space = join(disk.mountPoint, 'space');
  await mkdir(space, { mode: 0o700 });
  const [server] = await sql('SELECT setting AS folder FROM pg_settings WHERE name = $$data_directory$$');
  const { uid, gid } = await stat(server?.folder ?? '');
  for (const path of [disk.mountPoint, space]) await chown(path, uid, gid);
  const name = quoted(`small ${instance.role}`);
  await sql(`CREATE TABLESPACE ${name} LOCATION '${space}'`);
  making.defer(async () => void (await sql(`DROP TABLESPACE ${name}`)));
  await sql(`GRANT CREATE ON TABLESPACE ${name} TO ${quoted(instance.role)}`);
  await sql(`ALTER DATABASE ${quoted(instance.database)} SET TABLESPACE ${name}`);
  const made = making.move();
  return {
    engine,
    instance: {
      ...instance,
      close: async () => {
        await sql(`REVOKE CREATE ON TABLESPACE ${name} FROM ${quoted(instance.role)}`);
        await instance.close();
      },
    },
    backup,
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

export async function makePostgresInstance(
  adminUrl: string,
  rights: Rights,
  label = '',
): Promise<PostgresInstance> {
  const id = randomBytes(5).toString('hex');
  const database = `test ${id} ${label}`;
  const role = `role ${id} ${label}`;
  const password = `pw '\\%@:/ ${id}`;
  const urlFor = (name: string) => withDatabase(adminUrl, name);
  const admin = <Row extends pg.QueryResultRow>(sql: string, name = database) =>
    runSql<Row>(urlFor(name), sql);
  await admin(
    `CREATE ROLE ${quoted(role)} LOGIN PASSWORD '${password.replaceAll("'", "''")}'
     ${rights === 'superuser' ? 'SUPERUSER' : rights === 'owner' ? 'CREATEDB' : ''}`,
    'postgres',
  );
  await admin(`CREATE DATABASE ${quoted(database)} OWNER ${quoted(role)}`, 'postgres');
  const { hostname, port } = new URL(adminUrl);
  const fields = { host: hostname, port: Number(port), database, username: role, password };
  const connection = engine.parseConnection(fields);
  const roleUrl = new URL(urlFor(database));
  roleUrl.username = encodeURIComponent(role);
  roleUrl.password = encodeURIComponent(password);
  const asRole = <Row extends pg.QueryResultRow>(sql: string) => runSql<Row>(roleUrl.href, sql);

  return {
    connection,
    database,
    role,
    url: urlFor(database),
    admin,
    asRole,
    wrong: {
      connection: engine.parseConnection({ ...fields, password: 'wr0ng-s3cret' }),
      secret: 'wr0ng-s3cret',
    },
    unreachable: engine.parseConnection({ ...fields, port: 1 }),
    missing: engine.parseConnection({ ...fields, database: `${database} gone` }),
    grow: async (megabytes) => {
      // Four tables with an index each, of rows of about 500 bytes.
      for (let table = 1; table <= 4; table++) {
        await asRole(`CREATE TABLE big_${table} AS SELECT g AS id, (SELECT string_agg(md5(random()::text || g || i), '') FROM generate_series(1, 16) i) AS a
          FROM generate_series(1, ${Math.ceil((megabytes * 1_000_000) / 4 / 525)}) g; ALTER TABLE big_${table} ADD PRIMARY KEY (id)`);
      }
    },
    fill: async (kind) => {
      await asRole(kind === 'bulk' ? bulkSql : hostileSql);
    },
    fillWithEverything: async ({ reader, editor }) => {
      const names = { OWNER: quoted(role), READER: quoted(reader), EDITOR: quoted(editor) };
      await asRole(await fixture('everything.sql', names));
      if (rights === 'superuser') await asRole(await fixture('superuser.sql', names));
    },
    fingerprint: () => databaseFingerprint(urlFor(database)),
    write: async () => {
      await asRole(
        `CREATE TABLE IF NOT EXISTS written (a text); INSERT INTO written VALUES (clock_timestamp()::text)`,
      );
    },
    startWriting: async () => {
      await asRole(`CREATE TABLE balance_a AS SELECT 1000 AS amount; CREATE TABLE balance_b AS SELECT 0 AS amount;
                    CREATE TABLE filler AS SELECT repeat(md5(g::text), 10) AS x FROM generate_series(1, 20000) g`);
      const client = new pg.Client(clientConfig(roleUrl.href));
      await client.connect();
      return keepDoing(
        () =>
          client.query(
            'BEGIN; UPDATE balance_a SET amount = amount - 1; UPDATE balance_b SET amount = amount + 1; COMMIT',
          ),
        () => client.end(),
      );
    },
    isConsistent: async () => {
      const [row] = await asRole<{ sum: number }>(
        'SELECT a.amount + b.amount AS sum FROM balance_a a, balance_b b',
      );
      return row?.sum === 1000;
    },
    killSource: async () => {
      const ended = await admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name LIKE 'forestay%' AND datname = current_database() AND pid <> pg_backend_pid()`);
      if (ended.length === 0) throw new Error('The backup has no session any more');
    },
    remains: async () => {
      const rows = await admin<{ what: string }>(
        `SELECT 'session ' || application_name AS what FROM pg_stat_activity WHERE application_name LIKE 'forestay%' AND usename = '${role.replaceAll("'", "''")}'
         UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datname ~ '^forestay_.*_(a[0-9]+|undone)$'
           AND pg_get_userbyid(datdba) = '${role.replaceAll("'", "''")}'`,
        'postgres',
      );
      return rows.map(({ what }) => what);
    },
    close: async () => {
      const rows = await admin<{ datname: string }>(
        `SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = '${role.replaceAll("'", "''")}'`,
        'postgres',
      );
      for (const { datname } of rows)
        await admin(`DROP DATABASE ${quoted(datname)} WITH (FORCE)`, 'postgres');
      await admin(`DROP OWNED BY ${quoted(role)} CASCADE; DROP ROLE ${quoted(role)}`, 'postgres');
    },
  };
}

async function fixture(name: string, names: Record<string, string>): Promise<string> {
  const text = await readFile(new URL(`../../fixtures/postgresql/${name}`, import.meta.url), 'utf8');
  return text.replaceAll(/%(OWNER|READER|EDITOR)%/g, (_, key: string) => names[key] ?? '');
}

/** The second table makes a dump ask the server again after the first, however much of that one is in buffers. */
const bulkSql = `CREATE TABLE bulk AS SELECT g AS id, md5(g::text) AS a, repeat(md5((g * 7)::text), 6) AS b FROM generate_series(1, 20000) g;
  ALTER TABLE bulk ADD PRIMARY KEY (id); CREATE INDEX ON bulk (a); CREATE TABLE bulk_more AS SELECT * FROM bulk LIMIT 10`;

const hostileSql = `CREATE SCHEMA "s ""x"" \\ $1 'ü"; CREATE TABLE "s ""x"" \\ $1 'ü"."-t;
 COMMIT;" ("c ""1""" text);
  INSERT INTO "s ""x"" \\ $1 'ü"."-t;
 COMMIT;" VALUES (E'\\\\.'), (E'\\n\\\\.\\nCOMMIT;\\n'), (NULL), (E'\\t\\r\\n'), ('NULL'), ('🦫');
  SELECT lo_from_bytea(0, '\\x00ff')`;
