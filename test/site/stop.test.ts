import { expect, inject, test } from 'vitest';
import { listAllBackups } from '../../src/db/backups.ts';
import { holdLock, lockSampleTable } from '../support/hold-lock.ts';
import { childrenOf } from '../support/processes.ts';
import { makeSampleDatabase } from '../support/sample-database.ts';
import { spawnSiteProcess, startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { openStoppedSite } from '../support/stopped-site.ts';
import { until } from '../support/test-site.ts';
import { v1Client } from '../support/v1-client.ts';

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`promise 4: ${signal} while a backup runs puts the task back, ends in order with code 0, and the next start finishes it`, async () => {
    await using folder = await temporaryFolder('stop-');
    await using database = await makeSampleDatabase(inject('postgresUrl'), { megabytes: 2 });
    await using site = await startSiteProcess({ dataDir: folder.path });
    const client = v1Client(site);
    const guid = await client.register(database.connection);
    let id: number;
    {
      await using _held = await holdLock(database.url, lockSampleTable);
      id = await client.backUp(guid);
      await until('pg_dump', async () =>
        (await childrenOf(site.pid)).some(({ command }) => command.includes('pg_dump')),
      );
      const children = await childrenOf(site.pid);
      const { code, ms } = await site.stop(signal);
      expect(code, site.output()).toBe(0);
      expect(ms).toBeLessThan(10_000);
      expect(site.output()).toContain('Forestay has stopped.');
      // Its programs have not outlived it.
      for (const { pid } of children) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    }
    {
      await using stopped = await openStoppedSite(folder.path);
      const [backup] = await listAllBackups(stopped.context.db, 1);
      expect(backup?.task).toMatchObject({ status: 'queued', attempt: 1, error: null });
    }
    await using next = await startSiteProcess({ dataDir: folder.path });
    const ended = await v1Client(next).backupEnds(guid, id);
    expect(ended).toMatchObject({ status: 'done', attempt: 2 });
    expect((await next.stop()).code).toBe(0);
  });
}

test('a second Forestay on the same data directory is refused and says what to do; the first goes on', async () => {
  await using folder = await temporaryFolder('twice-');
  await using first = await startSiteProcess({ dataDir: folder.path });
  const second = spawnSiteProcess({ dataDir: folder.path });
  await expect(second.ready).rejects.toThrow(
    `Another Forestay process uses the data directory ${folder.path}.`,
  );
  expect(second.output()).toContain('choose another FORESTAY_DATA_DIR, or set DATABASE_URL');
  expect(await second.exited).not.toBe(0);
  expect((await v1Client(first).call('GET', '/v1/instances')).status).toBe(200);
});
