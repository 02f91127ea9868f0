import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { youngGenerationOption } from '../../src/young-generation.ts';
import { copyDatabaseTemplate } from './database-template.ts';

const main = path.resolve(import.meta.dirname, '../../src/main.ts');

/** A real `forestay serve` or `forestay worker`: a process of its own, as an operator runs it. */
export interface SiteProcess extends AsyncDisposable {
  readonly pid: number;
  readonly dataDir: string;
  /** Where the API listens; empty for a worker. */
  readonly url: string;
  /** The admin token. */
  readonly token: string;
  /** From its start until it said that it is ready, in milliseconds. */
  readonly startMs: number;
  /** Everything it wrote so far, to stdout and stderr. */
  output(): string;
  isAlive(): boolean;
  signal(name: NodeJS.Signals): void;
  /** As a power cut does it; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Asks it to stop; resolves when it has, with its exit code and how long that took. */
  stop(name?: 'SIGTERM' | 'SIGINT'): Promise<{ code: number | null; ms: number }>;
}

export interface SiteProcessOptions {
  readonly dataDir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Default: `serve`. */
  readonly args?: readonly string[];
}

/** Starts it and waits until it is ready. Throws with its output when it ends before. */
export async function startSiteProcess(options: SiteProcessOptions): Promise<SiteProcess> {
  if (options.env?.DATABASE_URL === undefined) await copyDatabaseTemplate(options.dataDir);
  return spawnSiteProcess(options).ready;
}

/** Services do without, but a run of the tests starts many of them. */
function compileCache(): Record<string, string> {
  const { XDG_CACHE_HOME } = process.env;
  return XDG_CACHE_HOME === undefined ? {} : { NODE_COMPILE_CACHE: path.join(XDG_CACHE_HOME, 'node') };
}

/** The same for who wants to do something to it while it starts. `ready` never settles when it is killed first. */
export function spawnSiteProcess({ dataDir, env, args = ['serve'] }: SiteProcessOptions): {
  child: ChildProcess;
  output: () => string;
  exited: Promise<number | null>;
  ready: Promise<SiteProcess>;
} {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [youngGenerationOption, main, ...args], {
    cwd: tmpdir(),
    env: {
      PATH: process.env.PATH ?? '',
      TMPDIR: tmpdir(),
      ...compileCache(),
      FORESTAY_DATA_DIR: dataDir,
      FORESTAY_LISTEN: '127.0.0.1:0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pieces: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (piece: string) => pieces.push(piece));
  child.stderr.setEncoding('utf8').on('data', (piece: string) => pieces.push(piece));
  const output = () => pieces.join('');
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  const alive = () => child.exitCode === null && child.signalCode === null;

  const ready = (async (): Promise<SiteProcess> => {
    const announced = /^Forestay listens on (\S+)$|^The worker takes tasks/m;
    let found: RegExpExecArray | null = null;
    for (;;) {
      found = announced.exec(output());
      if (found) break;
      if (!alive()) throw new Error(`The site did not start: ${output()}`);
      if (performance.now() - startedAt > 60_000) {
        child.kill('SIGKILL');
        throw new Error(`The site is not ready after a minute: ${output().slice(-3000)}`);
      }
      await sleep(10);
    }
    const startMs = performance.now() - startedAt;
    const token =
      env?.FORESTAY_ADMIN_TOKEN ?? (await readFile(path.join(dataDir, 'admin-token'), 'utf8')).trim();
    const kill = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    return {
      pid: child.pid!,
      dataDir,
      url: found[1] ?? '',
      token,
      startMs,
      output,
      isAlive: alive,
      signal: (name) => void child.kill(name),
      kill,
      async stop(name = 'SIGTERM') {
        const askedAt = performance.now();
        child.kill(name);
        const code = await Promise.race([exited, sleep(60_000, 'late' as const, { ref: false })]);
        if (code === 'late') throw new Error(`The site does not stop: ${output().slice(-3000)}`);
        return { code, ms: Math.round(performance.now() - askedAt) };
      },
      [Symbol.asyncDispose]: kill,
    };
  })();
  // Whoever kills it while it starts does not wait for it to be ready.
  ready.catch(() => {});
  return { child, output, exited, ready };
}

/** A folder that is removed at the end of the test. */
export async function temporaryFolder(prefix: string): Promise<{ path: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), prefix));
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}
