import { randomBytes } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { makePostgresInstance } from './instance.ts';

const engine = createPostgresqlEngine();
const never = new AbortController().signal;

test('functions that the owner of a database puts before those of PostgreSQL are not run with the rights of Forestay', async () => {
  const instance = await makePostgresInstance(inject('postgresUrl'), 'superuser');
  const owner = `owner_${randomBytes(5).toString('hex')}`;
  await instance.admin(
    `CREATE ROLE ${owner}; ALTER DATABASE "${instance.database}" OWNER TO ${owner};
     CREATE SCHEMA shadow AUTHORIZATION ${owner}; SET SESSION AUTHORIZATION ${owner};
     CREATE TABLE shadow.noticed (who name);
     CREATE FUNCTION shadow.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO shadow.noticed VALUES (current_user); RETURN pg_catalog.current_setting($1); END $$;
     CREATE FUNCTION shadow.pg_get_userbyid(oid) RETURNS name LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO shadow.noticed VALUES (current_user); RETURN pg_catalog.pg_get_userbyid($1); END $$;
     ALTER DATABASE "${instance.database}" SET search_path = shadow, pg_catalog;`,
  );
  await engine.probe(instance.connection, never);
  const { bytes, source } = await takeBackup(engine, instance.connection);
  await engine.assertRestorable(instance.connection, source, never);
  await engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
  expect(await instance.admin('SELECT who FROM shadow.noticed')).toEqual([]);
  await instance.admin(`DROP OWNED BY ${owner}`);
  for (const { name } of await instance.admin<{ name: string }>(
    `SELECT quote_ident(datname) AS name FROM pg_database WHERE pg_get_userbyid(datdba) = '${owner}'`,
  ))
    await instance.admin(`ALTER DATABASE ${name} OWNER TO "${instance.role}"`, 'postgres');
  await instance.close();
  await instance.admin(`DROP ROLE ${owner}`, 'postgres');
});

test.for(['superuser', 'no createdb'] as const)(
  'a restore that fails does not quote the rows it failed at (rights: %s)',
  async (rights) => {
    const instance = await makePostgresInstance(inject('postgresUrl'), rights);
    await instance.asRole(
      `CREATE FUNCTION fits(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
         IF current_setting('application_name') LIKE 'forestay-%' THEN RAISE EXCEPTION 'it does not fit'; END IF;
         RETURN true; END $$;
       CREATE TABLE kept (a text CHECK (public.fits(a))); INSERT INTO kept VALUES ('s3cret row');`,
    );
    const { bytes, source } = await takeBackup(engine, instance.connection);
    const failed = await engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never).then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failed).toMatchObject({
      code: 'ToolFailed',
      message: expect.stringContaining('it does not fit'),
    });
    for (let error = failed; error; error = error.cause as Error | undefined)
      expect(error.message).not.toContain('s3cret');
    await instance.close();
  },
);

test('a user mapping that is not kept is told without its password', async () => {
  const instance = await makePostgresInstance(inject('postgresUrl'), 'superuser');
  const gone = `gone_${randomBytes(5).toString('hex')}`;
  await instance.admin(
    `CREATE ROLE ${gone}; CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw;
     CREATE USER MAPPING FOR ${gone} SERVER elsewhere OPTIONS (password 's3cret mapping');`,
  );
  const { bytes, source } = await takeBackup(engine, instance.connection);
  await instance.admin(`DROP USER MAPPING FOR ${gone} SERVER elsewhere; DROP ROLE ${gone};`);
  const report = await engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
  expect(report.notKept).toEqual([expect.stringContaining(`CREATE USER MAPPING FOR ${gone}`)]);
  expect(report.notKept.join()).not.toContain('s3cret');
  await instance.close();
});
