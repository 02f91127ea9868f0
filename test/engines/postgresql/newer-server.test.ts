import { randomBytes } from 'node:crypto';
import { expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { dataFingerprint } from '../../support/compare-databases.ts';
import { fetchOtherPostgres, whyNoOtherPostgres } from '../../support/other-postgres.ts';
import { runSql } from '../../support/postgres-client.ts';
import { startPostgresServer } from '../../support/postgres-server.ts';
import { makePostgresInstance } from './instance.ts';

const engine = createPostgresqlEngine();
const never = new AbortController().signal;
const why = await whyNoOtherPostgres();

/** How many objects there are of each kind: older tools cannot dump a newer server to compare its schema. */
const countsSql = `SELECT what, count(*)::int AS count FROM (
    SELECT 'relation ' || relkind::text AS what FROM pg_class WHERE oid >= 16384 AND relkind <> 't'
    UNION ALL SELECT 'constraint ' || contype::text FROM pg_constraint WHERE oid >= 16384 AND contype <> 'n'
    UNION ALL SELECT 'function' FROM pg_proc WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')
    UNION ALL SELECT 'trigger' FROM pg_trigger UNION ALL SELECT 'policy' FROM pg_policy UNION ALL SELECT 'rule' FROM pg_rewrite WHERE oid >= 16384
  ) o GROUP BY 1 ORDER BY 1`;

test.skipIf(why).for([16, 18] as const)(
  `a backup is restored into PostgreSQL %i with the tools of the older version, and not back${why}`,
  async (major) => {
    await using programs = await fetchOtherPostgres(major);
    const newer = await startPostgresServer({ fsync: 'off', binDir: programs.binDir });
    await using _server = { [Symbol.asyncDispose]: () => newer.stop() };
    const reader = `reader_${randomBytes(4).toString('hex')}`;
    for (const url of [inject('postgresUrl'), newer.adminUrl]) await runSql(url, `CREATE ROLE ${reader}`);
    const source = await makePostgresInstance(inject('postgresUrl'), 'owner');
    const destination = await makePostgresInstance(newer.adminUrl, 'owner');
    try {
      await source.fillWithEverything({ reader, editor: reader });
      const backup = await takeBackup(engine, source.connection);
      const ticket = ticketFor(backup.source);
      const report = await engine.restore(destination.connection, streamOf(backup.bytes), ticket, never);
      expect(report).toMatchObject({ method: 'staged', undoable: true });
      expect(report.notKept.join('\n')).toContain(source.role);
      expect(await dataFingerprint(destination.url)).toEqual(await dataFingerprint(source.url));
      expect(await destination.admin(countsSql)).toEqual(await source.admin(countsSql));
      await destination.write();
      await engine.undo?.discard(destination.connection, ticket.id, never);

      const [row] = await destination.admin<{ version: string }>(
        "SELECT current_setting('server_version') AS version",
      );
      const engineVersion = row?.version ?? '';
      expect(engineVersion).toMatch(new RegExp(`^${major}\\.`));
      const newerBackup = {
        engineVersion,
        details: { ...backup.source.details, serverVersion: engineVersion },
      };
      await expect(engine.assertRestorable(source.connection, newerBackup, never)).rejects.toMatchObject({
        code: 'IncompatibleBackup',
      });
    } finally {
      await source.close();
      await destination.close();
      await runSql(inject('postgresUrl'), `DROP ROLE ${reader}`);
    }
  },
);
