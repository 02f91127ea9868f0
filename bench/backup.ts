import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bench, settle } from './bench.ts';
import { backUp, deleteBackup, registerInstance } from './client.ts';
import type { Dataset } from './dataset.ts';
import { type Row, spread } from './report.ts';
import { dumpToNowhere, upstreamBackup } from './rivals.ts';
import { inRounds, ratios } from './rounds.ts';
import { type Mode, prepareSite, serveSite } from './site.ts';

/** Backups through the API, against pg_dump alone and against the upstream way. */
export async function measureBackup(
  bench: Bench,
  dataset: Dataset,
  options: { rounds: number; modes: readonly Mode[] },
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const mode of options.modes) rows.push(...(await measureMode(bench, dataset, options.rounds, mode)));
  return rows;
}

async function measureMode(bench: Bench, dataset: Dataset, rounds: number, mode: Mode): Promise<Row[]> {
  await using state = await prepareSite(bench, mode);
  await using site = await serveSite(bench, state);
  const guid = await registerInstance(site, dataset);
  const requestToDone: number[] = [];
  let stored = 0;
  let upstreamStored = 0;
  const file = join(bench.folder, 'upstream');
  const times = await inRounds(
    rounds,
    {
      dump: async () => {
        await settle(bench);
        return dumpToNowhere(bench, dataset);
      },
      forestay: async () => {
        await settle(bench);
        const taken = await backUp(site, guid, bench.signal);
        requestToDone.push(taken.requestToDone);
        stored = taken.body.size;
        await deleteBackup(site, guid, taken.body.id);
        return taken.claimToDone;
      },
      upstream: async () => {
        await settle(bench);
        const seconds = await upstreamBackup(bench, dataset, file);
        upstreamStored = (await stat(file)).size;
        await rm(file);
        return seconds;
      },
    },
    (name, round, seconds) => bench.say(`  backup, ${mode}, round ${round}: ${name} ${seconds.toFixed(2)} s`),
  );
  const dump = `pg_dump ${spread(times.dump, 's')}`;
  return [
    {
      what: `backup (${mode}) / pg_dump -Fc -Z0 > /dev/null`,
      values: ratios(times.forestay, times.dump),
      unit: 'x',
      target: { atMost: 1.25 },
      figures: `claim to done ${spread(times.forestay, 's')}, ${dump}`,
    },
    {
      what: `the same from request to done (${mode})`,
      values: ratios(requestToDone, times.dump),
      unit: 'x',
      figures: `request to done ${spread(requestToDone, 's')}`,
    },
    {
      what: `pg_dump, gzip, openssl enc / backup (${mode})`,
      values: ratios(times.upstream, times.forestay),
      unit: 'x',
      target: { atLeast: 2.5 },
      figures: `upstream's way ${spread(times.upstream, 's')}, ${megabytes(upstreamStored)} stored; Forestay ${megabytes(stored)}`,
    },
  ];
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
