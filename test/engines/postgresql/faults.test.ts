import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, inject, test, vi } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { runSql } from '../../support/postgres-client.ts';
import { startPostgresServer } from '../../support/postgres-server.ts';
import { makePostgresInstance } from './instance.ts';

const engine = createPostgresqlEngine();
const never = new AbortController().signal;

test.for(['owner', 'no createdb'] as const)(
  'a connection that is lost half-way is worth another try, and has changed nothing (rights: %s)',
  async (rights) => {
    const instance = await makePostgresInstance(inject('postgresUrl'), rights);
    await instance.fill('bulk');
    const { bytes, source } = await takeBackup(engine, instance.connection);
    await instance.write();
    const before = await instance.fingerprint();
    const cut = Readable.from(
      (async function* () {
        yield bytes.subarray(0, bytes.length / 2);
        await vi.waitFor(
          async () => {
            const ended = await instance.admin(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'forestay-%' AND usename = '${instance.role}'`,
            );
            expect(ended.length).toBeGreaterThan(0);
          },
          { timeout: 10_000, interval: 20 },
        );
        yield bytes.subarray(bytes.length / 2);
      })(),
    );
    const restoring = engine.restore(instance.connection, cut, ticketFor(source), never);
    await expect(restoring).rejects.toMatchObject({ code: 'InstanceUnreachable', retryable: true });
    expect(await instance.fingerprint()).toEqual(before);
    await instance.write();
    expect(await instance.remains()).toEqual([]);
    await instance.close();
  },
);

// Only root can mount a file system that is small enough to be filled.
test.runIf(process.platform === 'linux' && userInfo().uid === 0)(
  'a full disk at the server is told as such, and the old data stays and takes writes',
  async () => {
    const server = await startPostgresServer({ fsync: 'off' });
    const disk = mkdtempSync(join(tmpdir(), 'disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=19m,mode=755', 'tmpfs', disk]);
    try {
      const { uid, gid } = statSync(server.dataDir);
      const space = join(disk, 'space');
      mkdirSync(space, { mode: 0o700 });
      for (const path of [disk, space]) chownSync(path, uid, gid);
      const instance = await makePostgresInstance(server.adminUrl, 'owner');
      await instance.fill('bulk');
      const { bytes, source } = await takeBackup(engine, instance.connection);
      await runSql(server.adminUrl, `CREATE TABLESPACE small LOCATION '${space}'`);
      await runSql(server.adminUrl, `GRANT CREATE ON TABLESPACE small TO "${instance.role}"`);
      await runSql(server.adminUrl, `ALTER DATABASE "${instance.database}" SET TABLESPACE small`);
      const before = await instance.fingerprint();
      const restoring = engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
      await expect(restoring).rejects.toMatchObject({ code: 'InstanceFull', hint: expect.any(String) });
      expect(await instance.fingerprint()).toEqual(before);
      await instance.write();
      expect(await instance.remains()).toEqual([]);
    } finally {
      await server.stop();
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true });
    }
  },
);
