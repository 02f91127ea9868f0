/**
 * `npm run bench [-- backup|restore|memory|api|s3|engines …] [options]`: how fast and how small Forestay is, side by side with what
 * else one would use, on private servers in temp folders. docs/performance.md tells what is measured, and holds results.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { measureApi } from './api.ts';
import { measureBackup } from './backup.ts';
import { type Bench, openBench } from './bench.ts';
import { dropDatabase, makeRows } from './dataset.ts';
import { chooseRivals, rivals } from './engines/all.ts';
import { measureEngines } from './engines/measure.ts';
import type { EngineRival } from './engines/rival.ts';
import { describeMachine, load } from './machine.ts';
import { measureMemory } from './memory.ts';
import { formatReport, isMissed, type Row } from './report.ts';
import { measureRestore } from './restore.ts';
import { measureS3 } from './s3.ts';
import { type Mode, modes } from './site.ts';
import { limitReads } from './slow-disk.ts';

const parts = ['backup', 'restore', 'memory', 'api', 's3', 'engines'] as const;
const usage = `npm run bench -- [${parts.join(' | ')}] …
  --size <GB>             of what is backed up and restored (default 1.6)
  --engine <name,…>       which engines the part engines measures: ${rivals.map(({ engine }) => engine).join(', ')} (default all)
  --rounds <n>            how often everything is measured, in turns (default 5)
  --memory-sizes <GB,…>   of the dumps of which memory is measured (default 0.5,2,8)
  --s3-size <GB>          of the file that is uploaded, and of each of the dumps backed up at once to S3 (default 0.5)
  --modes <mode,…>        where the site keeps its state: ${modes.join(', ')} (default both)
  --disk-read <MB/s>      how fast all sides may read from the disk, for example of a usual virtual machine (needs root; default: no limit)
  --output <file>         write the result there, too
  --strict                exit with 1 where a target was missed`;

interface Options {
  readonly parts: readonly string[];
  readonly size: number;
  readonly rivals: readonly EngineRival[];
  readonly rounds: number;
  readonly memorySizes: readonly number[];
  readonly s3Size: number;
  readonly modes: readonly Mode[];
  /** Bytes a second. */
  readonly diskRead: number | undefined;
  readonly output: string | undefined;
  readonly strict: boolean;
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      size: { type: 'string', default: '1.6' },
      engine: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '5' },
      'memory-sizes': { type: 'string', default: '0.5,2,8' },
      's3-size': { type: 'string', default: '0.5' },
      modes: { type: 'string', default: modes.join() },
      'disk-read': { type: 'string' },
      output: { type: 'string' },
      strict: { type: 'boolean', default: false },
    },
  });
  const wrong = (reason: string) => new Error(`${reason}\n\n${usage}`);
  const unknown = positionals.find((name) => !parts.some((part) => part === name));
  if (unknown !== undefined) throw wrong(`there is no part "${unknown}"`);
  const memorySizes = values['memory-sizes'].split(',').map((text) => Number(text) * 1e9);
  const size = Number(values.size) * 1e9;
  const s3Size = Number(values['s3-size']) * 1e9;
  const rounds = Number(values.rounds);
  const diskRead = values['disk-read'] === undefined ? undefined : Number(values['disk-read']) * 1e6;
  const chosen = values.modes.split(',').map((name) => modes.find((mode) => mode === name));
  if (![size, s3Size, rounds, diskRead ?? 1, ...memorySizes].every((value) => value > 0))
    throw wrong('sizes and rounds are numbers above 0');
  if (chosen.includes(undefined)) throw wrong(`modes are ${modes.join(', ')}`);
  return {
    parts: positionals.length === 0 ? parts : positionals,
    size,
    rivals: chooseRivals(
      values.engine.flatMap((names) => names.split(',')),
      wrong,
    ),
    rounds,
    memorySizes,
    s3Size,
    modes: chosen.filter((mode) => mode !== undefined),
    diskRead,
    output: values.output,
    strict: values.strict,
  };
}

async function measure(bench: Bench, options: Options): Promise<Row[]> {
  const rows: Row[] = [];
  const has = (part: (typeof parts)[number]) => options.parts.includes(part);
  if (has('api')) rows.push(...(await measureApi(bench, options.rounds)));
  if (has('backup') || has('restore')) {
    bench.say(`Making a database of ${options.size / 1e9} GB of dump`);
    const dataset = await makeRows(bench, 'rows', options.size);
    if (has('backup')) rows.push(...(await measureBackup(bench, dataset, options)));
    if (has('restore')) rows.push(...(await measureRestore(bench, dataset, options.rounds)));
    await dropDatabase(bench, dataset.database);
  }
  if (has('s3')) rows.push(...(await measureS3(bench, { size: options.s3Size, rounds: options.rounds })));
  if (has('memory'))
    rows.push(...(await measureMemory(bench, { sizes: options.memorySizes, modes: options.modes })));
  if (has('engines')) rows.push(...(await measureEngines(bench, options)));
  return rows;
}

async function main(options: Options, signal: AbortSignal): Promise<void> {
  const loadBefore = load();
  await using _limit =
    options.diskRead === undefined ? undefined : await limitReads(tmpdir(), options.diskRead);
  await using bench = await openBench(signal);
  const rows = await measure(bench, options);
  const facts = [
    ...(await describeMachine(bench)),
    `load averages of 1 / 5 minutes: ${loadBefore} before, ${load()} after`,
    `${options.rounds} rounds, everything in turns; backups and restores of ${options.size / 1e9} GB of data`,
    ...(options.diskRead === undefined
      ? []
      : [`reads from the disk limited to ${options.diskRead / 1e6} MB/s for all sides`]),
    'sites were made by `forestay migrate` in a process of its own: the very first start of an embedded one, which makes its database, takes up to 600 MB for a moment',
  ];
  const report = formatReport(rows, facts);
  process.stdout.write(report);
  if (options.output !== undefined) await writeFile(options.output, report);
  if (options.strict && rows.some(isMissed)) process.exitCode = 1;
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(name)));
try {
  await main(readOptions(), stop.signal);
} catch (error) {
  if (stop.signal.aborted) {
    process.stderr.write('Interrupted; everything was stopped and removed.\n');
    process.exitCode = 130;
  } else {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exitCode = 2;
  }
}
