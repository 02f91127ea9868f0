import { join } from 'node:path';
import { type Bench, settle } from './bench.ts';
import { backUp, registerInstance, restore } from './client.ts';
import { type Dataset, dropDatabase, dropReplaced, grantToReader } from './dataset.ts';
import { type Row, spread } from './report.ts';
import { dumpToFile, restoreFile } from './rivals.ts';
import { inRounds, ratios } from './rounds.ts';
import { prepareSite, type Site, serveSite } from './site.ts';

/**
 * Restores through the API, against pg_restore from a local file. Twice: where the archive goes to pg_restore as it is, and
 * where a grant to somebody else makes Forestay have the script rewritten (then whatever the role may not do is reported
 * instead of failing the restore).
 */
export async function measureRestore(bench: Bench, dataset: Dataset, rounds: number): Promise<Row[]> {
  await using state = await prepareSite(bench, 'server');
  await using site = await serveSite(bench, state);
  const guid = await registerInstance(site, dataset);
  const plain = await prepareSource(bench, site, guid, dataset, 'plain');
  await grantToReader(bench, dataset);
  const granted = await prepareSource(bench, site, guid, dataset, 'granted');
  return [
    await measureSource(bench, site, { guid, dataset, rounds }, plain),
    await measureSource(bench, site, { guid, dataset, rounds }, granted),
  ];
}

interface Source {
  readonly name: 'plain' | 'granted';
  readonly backupId: number;
  readonly file: string;
}

async function prepareSource(
  bench: Bench,
  site: Site,
  guid: string,
  dataset: Dataset,
  name: Source['name'],
): Promise<Source> {
  const file = join(bench.folder, `${name}.pgdump`);
  const bytes = await dumpToFile(bench, dataset, file);
  bench.say(`  ${name}: a dump of ${(bytes / 1e9).toFixed(2)} GB`);
  const { body } = await backUp(site, guid, bench.signal);
  return { name, file, backupId: body.id };
}

async function measureSource(
  bench: Bench,
  site: Site,
  { guid, dataset, rounds }: { guid: string; dataset: Dataset; rounds: number },
  source: Source,
): Promise<Row> {
  const requestToDone: number[] = [];
  const methods = new Set<string | null>();
  const times = await inRounds(
    rounds,
    {
      forestay: async () => {
        await settle(bench);
        const done = await restore(site, guid, source.backupId, bench.signal);
        requestToDone.push(done.requestToDone);
        methods.add(done.body.method);
        await dropReplaced(bench);
        return done.claimToDone;
      },
      file: () => restoreIntoNew(bench, dataset, source.file),
    },
    (name, round, seconds) =>
      bench.say(`  restore, ${source.name}, round ${round}: ${name} ${seconds.toFixed(2)} s`),
  );
  return {
    what:
      source.name === 'plain'
        ? 'restore / pg_restore of a local file'
        : 'the same with grants to other roles',
    values: ratios(times.forestay, times.file),
    unit: 'x',
    target: { atMost: 1.15 },
    figures:
      `${[...methods].join()}, claim to done ${spread(times.forestay, 's')}, request to done ` +
      `${spread(requestToDone, 's')}, pg_restore ${spread(times.file, 's')}`,
  };
}

async function restoreIntoNew(bench: Bench, { role, url }: Dataset, file: string): Promise<number> {
  const target = new URL(url);
  target.pathname = '/rival';
  await bench.sql(`CREATE DATABASE rival OWNER ${role}`);
  await settle(bench);
  const seconds = await restoreFile(bench, target.href, file);
  await dropDatabase(bench, 'rival');
  return seconds;
}
