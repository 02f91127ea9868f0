import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { backUp, deleteBackup, register, restore, undoRestore } from '../client.ts';
import { inFreshSite, memoryLimits, peakOf } from '../memory.ts';
import { runScript } from '../process.ts';
import { type Row, spread } from '../report.ts';
import { inRounds, ratios } from '../rounds.ts';
import { prepareSite, type Site, type SiteState, serveSite } from '../site.ts';
import type { EngineRival, RivalServer } from './rival.ts';
import { dumpInSteps, loadInSteps, sealInSteps, standardSteps } from './steps.ts';

export interface EngineOptions {
  readonly rivals: readonly EngineRival[];
  /** Bytes of data; memory is measured with a quarter of them, too. */
  readonly size: number;
  readonly rounds: number;
}

/** Each engine against its own tools: backups, restores, and whether memory stays the same when the data is four times larger. */
export async function measureEngines(bench: Bench, { rivals, size, rounds }: EngineOptions): Promise<Row[]> {
  const rows: Row[] = [];
  for (const rival of rivals) {
    const small = await withInstance(bench, rival, size / 4, (instance) => measurePeaks(bench, instance));
    rows.push(
      ...(await withInstance(bench, rival, size, async (instance) => {
        const large = await measurePeaks(bench, instance);
        return [
          ...(await measureTimes(bench, rival, instance, rounds)),
          ...memoryRows(rival, 'backup', [small.backup, large.backup], size),
          ...memoryRows(rival, 'restore', [small.restore, large.restore], size),
        ];
      })),
    );
  }
  return rows;
}

/** An instance with data that a site knows; no process of the site runs. */
interface Instance {
  readonly server: RivalServer;
  readonly state: SiteState;
  readonly guid: string;
}

async function withInstance<T>(
  bench: Bench,
  rival: EngineRival,
  bytes: number,
  use: (instance: Instance) => Promise<T>,
): Promise<T> {
  await using server = await rival.start(bench);
  bench.say(`Making ${megabytes(bytes)} of data for ${rival.engine}`);
  await server.fill(bytes);
  bench.signal.throwIfAborted();
  await using state = await prepareSite(bench, 'server');
  const { engine } = rival;
  const { connection } = server;
  const guid = await inFreshSite(bench, state, (site) =>
    register(site, { name: engine, engine, connection }),
  );
  return await use({ server, state, guid });
}

async function measurePeaks(
  bench: Bench,
  { server, state, guid }: Instance,
): Promise<{ backup: number; restore: number }> {
  await server.settle?.();
  const [backup, backupId] = await inFreshSite(bench, state, async (site) => {
    const { body } = await backUp(site, guid, bench.signal);
    return [await peakOf(site), body.id] as const;
  });
  const restored = await inFreshSite(bench, state, async (site) => {
    const { body } = await restore(site, guid, backupId, bench.signal);
    const peak = await peakOf(site);
    await undoRestore(site, guid, body);
    return peak;
  });
  return { backup, restore: restored };
}

async function measureTimes(
  bench: Bench,
  rival: EngineRival,
  instance: Instance,
  rounds: number,
): Promise<Row[]> {
  await using site = await serveSite(bench, instance.state);
  const race: Race = { bench, rival, site, rounds, ...instance };
  return [...(await raceBackups(race)), ...(await raceRestores(race))];
}

interface Race extends Instance {
  readonly bench: Bench;
  readonly rival: EngineRival;
  readonly site: Site;
  readonly rounds: number;
}

async function raceBackups(race: Race): Promise<Row[]> {
  const { bench, server, site, guid } = race;
  const { signal } = bench;
  const { tool } = server;
  const file = join(bench.folder, 'steps.sealed');
  const times = await inTurns(race, 'backup', {
    tool: () => runScript(`{ ${tool.dump}; } ${tool.nowhere ?? '> /dev/null'}`, { signal, env: tool.env }),
    forestay: async () => {
      const { claimToDone, body } = await backUp(site, guid, signal);
      await deleteBackup(site, guid, body.id);
      return claimToDone;
    },
    steps: async () => {
      const seconds = await dumpInSteps(tool, file, signal);
      await rm(file);
      return seconds;
    },
  });
  return rowsOf(race, 'backup', times, '');
}

async function raceRestores(race: Race): Promise<Row[]> {
  const { bench, rival, server, site, guid } = race;
  const { signal } = bench;
  const { tool } = server;
  const file = join(bench.folder, `${rival.engine}.saved`);
  if (server.save) await server.save(file, signal);
  else await runScript(`{ ${tool.dump}; } > "$SAVED"`, { signal, env: { ...tool.env, SAVED: file } });
  const sealed = await sealInSteps(file, signal);
  const { body } = await backUp(site, guid, signal);
  const methods = new Set<string | null>();
  const times = await inTurns(race, 'restore', {
    tool: () => runScript(`{ ${tool.load}; } < "$SAVED"`, { signal, env: { ...tool.env, SAVED: file } }),
    forestay: async () => {
      const done = await restore(site, guid, body.id, signal);
      methods.add(done.body.method);
      await undoRestore(site, guid, done.body);
      return done.claimToDone;
    },
    steps: () => loadInSteps(tool, sealed, signal),
  });
  for (const path of [file, sealed]) await rm(path, { recursive: true, force: true });
  return rowsOf(race, 'restore', times, `${[...methods].join()}, `);
}

type Times = Readonly<Record<'tool' | 'forestay' | 'steps', readonly number[]>>;

function rowsOf({ rival }: Race, verb: 'backup' | 'restore', times: Times, method: string): Row[] {
  return [
    {
      what: `${rival.engine}: ${verb} / ${rival.rivals[verb]}`,
      values: ratios(times.forestay, times.tool),
      unit: 'x',
      target: { atMost: rival.targets[verb] },
      figures: `${method}claim to done ${spread(times.forestay, 's')}, its own tool ${spread(times.tool, 's')}`,
    },
    {
      what: `${rival.engine}: ${verb} / the same steps by standard programs`,
      values: ratios(times.forestay, times.steps),
      unit: 'x',
      target: { atMost: 1 },
      figures: `${standardSteps[verb]}: ${spread(times.steps, 's')}`,
    },
  ];
}

function inTurns<Name extends string>(
  { bench, rival, server, rounds }: Race,
  verb: string,
  runs: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number[]>> {
  const settled = (run: () => Promise<number>) => async () => {
    await server.settle?.();
    bench.signal.throwIfAborted();
    return run();
  };
  const entries = Object.entries<() => Promise<number>>(runs).map(([name, run]) => [name, settled(run)]);
  return inRounds(
    rounds,
    Object.fromEntries(entries) as Record<Name, () => Promise<number>>,
    (name, round, seconds) =>
      bench.say(`  ${rival.engine}, ${verb}, round ${round}: ${name} ${seconds.toFixed(2)} s`),
  );
}

function memoryRows(
  { engine }: EngineRival,
  kind: 'backup' | 'restore',
  peaks: readonly [number, number],
  size: number,
): Row[] {
  return [
    {
      what: `${engine}: peak memory of a ${kind}`,
      values: peaks,
      unit: 'MB',
      target: { atMost: memoryLimits.server },
      figures: `of ${megabytes(size / 4)} and ${megabytes(size)}, each in a fresh process`,
    },
    {
      what: `${engine}: the larger of these / the smaller`,
      values: [Math.max(...peaks) / Math.min(...peaks)],
      unit: 'x',
      target: { atMost: 1.25 },
      figures: 'flat: it does not grow with the data',
    },
  ];
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
