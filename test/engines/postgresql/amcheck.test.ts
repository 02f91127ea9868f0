import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { clientConfig, runSql } from '../../support/postgres-client.ts';
import { findServerBinaries } from '../../support/postgres-server.ts';
import { makePostgresInstance } from './instance.ts';

const engine = createPostgresqlEngine();
const never = new AbortController().signal;
const program = join(findServerBinaries() ?? '', 'pg_amcheck');
const why = existsSync(program)
  ? ''
  : ' [not run: there is no pg_amcheck on this machine, it comes with PostgreSQL 14]';

/** Resolves with what it found wrong; throws when it could not look. */
async function amcheck(url: string): Promise<string> {
  const { host, port, user, password, database } = clientConfig(url);
  const args = ['--heapallindexed', '--rootdescend', '--install-missing', '-w', '-d', database ?? ''];
  const env = { PGHOST: host ?? '', PGPORT: String(port), PGUSER: user ?? '', PGPASSWORD: String(password) };
  return promisify(execFile)(program, args, { env }).then(
    ({ stdout }) => stdout,
    // 2 is "checked, and something is corrupt".
    (error: { code?: unknown; stdout?: string }) => {
      if (error.code === 2) return `corrupt: ${error.stdout}`;
      throw error;
    },
  );
}

test.skipIf(why).for(['owner', 'no createdb'] as const)(
  `pg_amcheck finds nothing wrong with heaps and indexes of a restored database (rights: %s)${why}`,
  async (rights) => {
    const url = inject('postgresUrl');
    const [reader, editor] = [`reader_${rights.length}`, `editor_${rights.length}`];
    await runSql(url, `CREATE ROLE ${reader}; CREATE ROLE ${editor}`);
    const instance = await makePostgresInstance(url, rights);
    try {
      await instance.fillWithEverything({ reader, editor });
      await instance.fill('bulk');
      const { bytes, source } = await takeBackup(engine, instance.connection);
      await instance.write();
      await engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
      expect(await amcheck(instance.url)).toBe('');
    } finally {
      await instance.close();
      await runSql(url, `DROP ROLE ${reader}; DROP ROLE ${editor}`);
    }
  },
);

test.skipIf(why)(`pg_amcheck would find a broken index${why}`, async () => {
  const instance = await makePostgresInstance(inject('postgresUrl'), 'owner');
  try {
    await instance.fill('bulk');
    // An index over a function that was immutable only by its word.
    await instance.asRole(`CREATE FUNCTION odd(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
      CREATE TABLE odd AS SELECT generate_series(1, 100) AS a; CREATE INDEX ON odd (odd(a));
      CREATE OR REPLACE FUNCTION odd(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -$1'`);
    expect(await amcheck(instance.url)).toContain('corrupt');
  } finally {
    await instance.close();
  }
});
