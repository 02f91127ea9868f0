import { expect, inject, test } from 'vitest';
import { residentMb } from '../support/processes.ts';
import { makeSampleDatabase } from '../support/sample-database.ts';
import { startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { until } from '../support/test-site.ts';
import { v1Client } from '../support/v1-client.ts';

/** The measurements proper are those of the benchmark; this notices when something begins to collect what passes. */
const mayGrowBy = 150;

test('promise 7: backing up and restoring 500 MB takes about the memory that 50 MB take', {
  timeout: 240_000,
}, async () => {
  await using folder = await temporaryFolder('memory-');
  await using small = await makeSampleDatabase(inject('postgresUrl'), { megabytes: 50, compressible: true });
  await using large = await makeSampleDatabase(inject('postgresUrl'), { megabytes: 500, compressible: true });
  await using site = await startSiteProcess({ dataDir: folder.path });
  const client = v1Client(site);
  const idle = await residentMb(site.pid);

  /** The most it had while the task ran. */
  const peakOf = async (work: () => Promise<{ status: string }>): Promise<number> => {
    let peak = 0;
    let ended: { status: string } | undefined;
    const working = work().then((result) => {
      ended = result;
    });
    await until(
      'the end of the task',
      async () => {
        peak = Math.max(peak, await residentMb(site.pid));
        return ended !== undefined;
      },
      120_000,
    );
    await working;
    expect(ended?.status).toBe('done');
    return Math.round(peak);
  };

  const peaks: Record<string, number> = { idle: Math.round(idle) };
  for (const [name, database] of Object.entries({ small, large })) {
    const guid = await client.register(database.connection);
    let backup = 0;
    peaks[`${name} backup`] = await peakOf(async () => {
      backup = await client.backUp(guid);
      return client.backupEnds(guid, backup);
    });
    peaks[`${name} restore`] = await peakOf(async () =>
      client.restoreEnds(guid, await client.restore(guid, backup)),
    );
  }
  console.log(`resident megabytes: ${JSON.stringify(peaks)}`);
  expect(peaks['large backup']! - peaks['small backup']!).toBeLessThan(mayGrowBy);
  expect(peaks['large restore']! - peaks['small restore']!).toBeLessThan(mayGrowBy);
});
