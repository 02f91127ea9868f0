import type { Bench } from './bench.ts';
import { backUp, registerInstance, restore } from './client.ts';
import { dropDatabase, dropReplaced, makeBlobs } from './dataset.ts';
import type { Row } from './report.ts';
import { type Mode, prepareSite, type Site, type SiteState, serveSite } from './site.ts';

/** Of the peaks, in bytes. */
export const memoryLimits: Readonly<Record<Mode, number>> = { server: 200e6, embedded: 450e6 };

/**
 * Promise 7, memory does not grow with the data: the most that the service's process ever had (VmHWM), in a fresh process
 * for every backup and every restore.
 */
export async function measureMemory(
  bench: Bench,
  options: { sizes: readonly number[]; modes: readonly Mode[] },
): Promise<Row[]> {
  const peaks = options.modes.map((mode) => ({ mode, backup: [] as number[], restore: [] as number[] }));
  for (const size of options.sizes) {
    const dataset = await makeBlobs(bench, 'blobs', size);
    for (const { mode, backup, restore: restored } of peaks) {
      const found = await measureSize(bench, mode, dataset);
      const name = `${(size / 1e9).toFixed(1)} GB, ${mode}`;
      bench.say(`  memory, ${name}: backup ${megabytes(found.backup)}, restore ${megabytes(found.restore)}`);
      backup.push(found.backup);
      restored.push(found.restore);
    }
    await dropDatabase(bench, 'blobs');
  }
  const sizes = options.sizes.map((size) => size / 1e9).join(', ');
  return peaks.flatMap(({ mode, ...kinds }) =>
    (['backup', 'restore'] as const).flatMap((kind) => rowsOf(kind, mode, kinds[kind], sizes)),
  );
}

function rowsOf(kind: string, mode: Mode, peaks: readonly number[], sizes: string): Row[] {
  return [
    {
      what: `peak memory of a ${kind} (${mode})`,
      values: peaks,
      unit: 'MB',
      target: { atMost: memoryLimits[mode] },
      figures: `dumps of ${sizes} GB, rows of 1 MiB of random bytes`,
    },
    {
      what: `most / least of these (${kind}, ${mode})`,
      values: [Math.max(...peaks) / Math.min(...peaks)],
      unit: 'x',
      target: { atMost: 1.25 },
      figures: 'flat: it does not grow with the data',
    },
  ];
}

async function measureSize(
  bench: Bench,
  mode: Mode,
  dataset: Awaited<ReturnType<typeof makeBlobs>>,
): Promise<{ backup: number; restore: number }> {
  await using state = await prepareSite(bench, mode);
  // Registered in a process of its own, too.
  const guid = await inFreshSite(bench, state, (site) => registerInstance(site, dataset));
  const [backup, backupId] = await inFreshSite(bench, state, async (site) => {
    const { body } = await backUp(site, guid, bench.signal);
    return [await peakOf(site), body.id] as const;
  });
  const restored = await inFreshSite(bench, state, async (site) => {
    await restore(site, guid, backupId, bench.signal);
    return peakOf(site);
  });
  await dropReplaced(bench);
  return { backup, restore: restored };
}

/** With a process that has done nothing else. */
export async function inFreshSite<T>(
  bench: Bench,
  state: SiteState,
  use: (site: Site) => Promise<T>,
): Promise<T> {
  await using site = await serveSite(bench, state);
  return await use(site);
}

/** The most memory that the service's process had, in bytes. */
export async function peakOf(site: Site): Promise<number> {
  const bytes = await site.peakMemory();
  if (bytes === undefined) throw new Error('Peak memory can be measured on Linux only.');
  return bytes;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
