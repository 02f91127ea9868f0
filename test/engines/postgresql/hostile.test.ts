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
