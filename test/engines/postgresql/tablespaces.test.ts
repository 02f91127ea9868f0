import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { clientConfig, runSql } from '../../support/postgres-client.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;

let fast: string;
let slow: string;
let instance: PostgresInstance;

beforeEach(async () => {
  const id = randomBytes(4).toString('hex');
  [fast, slow] = [`fast_${id}`, `slow_${id}`];
  for (const name of [fast, slow]) await makeTablespace(name);
});
afterEach(async () => {
  await instance.close();
  for (const name of [fast, slow]) await runSql(adminUrl, `DROP TABLESPACE IF EXISTS ${name}`);
});

/** In the server's own data directory: it needs no folder that the server's user may write to. */
async function makeTablespace(name: string): Promise<void> {
  const client = new pg.Client(clientConfig(adminUrl));
  await client.connect();
  try {
    await client.query('SET allow_in_place_tablespaces = on');
    await client.query(`CREATE TABLESPACE ${name} LOCATION ''`);
  } finally {
    await client.end();
  }
}

async function prepare(rights: Rights) {
  instance = await makePostgresInstance(adminUrl, rights);
  await runSql(adminUrl, `GRANT CREATE ON TABLESPACE ${fast}, ${slow} TO "${instance.role}"`);
  await instance.asRole(`CREATE TABLE t (a int) TABLESPACE ${fast}; INSERT INTO t VALUES (1); CREATE INDEX i ON t (a) TABLESPACE ${slow};
    CREATE TABLE parted (a int) PARTITION BY LIST (a) TABLESPACE ${slow}; CREATE TABLE part PARTITION OF parted DEFAULT`);
  return takeBackup(engine, instance.connection);
}
const places = () =>
  instance.admin(`SELECT relname, spcname FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
    WHERE relname IN ('t', 'i', 'parted', 'part') ORDER BY 1`);

test('the owner of nothing but a partitioned table is noted', async () => {
  await prepare('superuser');
  await instance.admin(`CREATE ROLE ${slow}; ALTER TABLE parted OWNER TO ${slow}`);
  try {
    const { source } = await takeBackup(engine, instance.connection);
    expect(source.details.owners).toEqual([instance.role, slow].toSorted());
  } finally {
    await instance.admin(`DROP OWNED BY ${slow} CASCADE; DROP ROLE ${slow}`);
  }
});

test.for(['owner', 'no createdb'] as const)(
  'a backup notes its tablespaces, and a restore keeps to them or says that it did not (rights: %s)',
  async (rights) => {
    const backup = await prepare(rights);
    expect(backup.source.details.owners).toEqual([instance.role]);
    expect(backup.source.details.tablespaces).toEqual([fast, slow]);
    const before = await places();
    const restore = () =>
      engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
    expect((await restore()).notKept).toEqual([]);
    expect(await places()).toEqual(before);

    await runSql(adminUrl, `REVOKE CREATE ON TABLESPACE ${slow} FROM "${instance.role}"`);
    const { notKept } = await restore();
    expect(notKept).toEqual([
      expect.stringContaining(`Tablespaces (${slow}) are missing or closed to this role`),
    ]);
    expect((await places()).map((row) => row.spcname)).toEqual([null, null, null, null]);
    expect(await instance.asRole('SELECT a FROM t')).toEqual([{ a: 1 }]);
  },
);
