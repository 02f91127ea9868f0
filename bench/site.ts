import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { youngGenerationOption } from '../src/young-generation.ts';
import { type Bench, urlOf } from './bench.ts';
import { timeProgram } from './process.ts';

/** Where a site keeps its own state: embedded, or in a database of the server (`DATABASE_URL`). */
export const modes = ['server', 'embedded'] as const;
export type Mode = (typeof modes)[number];

/** The product as people run it: `forestay serve` in a process of its own, with a directory store. */
export interface Site extends AsyncDisposable {
  readonly mode: Mode;
  readonly url: string;
  readonly adminToken: string;
  /** The most memory its process ever had, in bytes; undefined where there is no /proc. */
  peakMemory(): Promise<number | undefined>;
  /** What its process has used so far, in seconds; its tools (pg_dump) not counted. */
  cpuSeconds(): Promise<number | undefined>;
}

/** A folder and a database with the state of a site, made by `forestay migrate` in a process that is over. */
export interface SiteState extends AsyncDisposable {
  readonly mode: Mode;
  readonly env: Readonly<Record<string, string>>;
  readonly adminToken: string;
  readonly log: string;
}

/** What stopping may take, in milliseconds. */
const stopMs = 30_000;

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** `more`: settings besides the usual ones. */
export async function prepareSite(
  bench: Bench,
  mode: Mode,
  more: Readonly<Record<string, string>> = {},
): Promise<SiteState> {
  const name = `site_${randomBytes(4).toString('hex')}`;
  const folder = join(bench.folder, name);
  await mkdir(folder);
  const adminToken = randomBytes(24).toString('hex');
  const env = {
    FORESTAY_DATA_DIR: folder,
    FORESTAY_LISTEN: '127.0.0.1:0',
    FORESTAY_ADMIN_TOKEN: adminToken,
    FORESTAY_TOOL_DIRS: bench.binDir,
    FORESTAY_FILES_ROOTS: bench.folder,
    ...(mode === 'server' && { DATABASE_URL: urlOf(bench.server, name) }),
    ...more,
  };
  if (mode === 'server') await bench.sql(`CREATE DATABASE ${name}`);
  await timeProgram(process.execPath, [main, 'migrate'], { signal: bench.signal, env });
  return {
    mode,
    env,
    adminToken,
    log: join(bench.folder, `${name}.log`),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true });
      if (mode === 'server' && !bench.signal.aborted) await bench.sql(`DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

/** Starts the service; disposing of it stops the service and leaves the state. */
export async function serveSite(bench: Bench, state: SiteState): Promise<Site> {
  const log = openSync(state.log, 'a');
  const child = spawn(process.execPath, [youngGenerationOption, main, '--json', 'serve'], {
    stdio: ['ignore', 'pipe', log],
    env: { PATH: process.env.PATH ?? '', ...state.env },
  });
  closeSync(log);
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const stop = async () => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (ended || !child.kill('SIGTERM')) return;
    const late = setTimeout(() => child.kill('SIGKILL'), stopMs);
    const [, killedBy] = await exited;
    clearTimeout(late);
    if (killedBy === 'SIGKILL')
      bench.say(`forestay serve did not stop within ${stopMs / 1000} s and was killed`);
  };
  try {
    const url = await listening(child, bench.signal, exited);
    return {
      mode: state.mode,
      url,
      adminToken: state.adminToken,
      peakMemory: () => readPeak(child.pid),
      cpuSeconds: () => readCpu(child.pid),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    const said = await readFile(state.log, 'utf8');
    throw new Error(`forestay serve did not start: ${said.slice(-2000)}`, { cause: error });
  }
}

/** The service says on stdout where it listens, as JSON. */
async function listening(
  child: ChildProcess,
  signal: AbortSignal,
  exited: Promise<unknown>,
): Promise<string> {
  const lines: string[] = [];
  const said = new Promise<string>((resolve) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      lines.push(line);
      const [, url] = /"url": "(http[^"]+)"/.exec(line) ?? [];
      if (url !== undefined) resolve(url);
    });
  });
  const aborted = once(signal, 'abort').then(() => signal.throwIfAborted());
  const gone = exited.then(() => Promise.reject(new Error(`it ended: ${lines.join(' ')}`)));
  for (const promise of [aborted, gone]) promise.catch(() => {});
  return (await Promise.race([said, gone, aborted])) as string;
}

async function readPeak(pid: number | undefined): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** proc(5): fields 14 and 15, in hundredths of a second on every Linux there is. */
async function readCpu(pid: number | undefined): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [user, system] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14);
  return user === undefined || system === undefined ? undefined : (Number(user) + Number(system)) / 100;
}
