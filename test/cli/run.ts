import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { FakeSite } from './fake-site.ts';

const main = path.resolve(import.meta.dirname, '../../src/main.ts');

export interface RunOptions {
  /** Whom FORESTAY_URL and FORESTAY_TOKEN name; nobody when absent. */
  readonly site?: Pick<FakeSite, 'url' | 'token'> | undefined;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Folder to run in: its `.env` is read. A folder without one when absent. */
  readonly cwd?: string;
  /** Another program than src/main.ts. */
  readonly program?: string;
}

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as a process of its own, to its end. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Result> {
  return launch(args, options).result;
}

export interface Started {
  readonly child: ChildProcess;
  readonly result: Promise<Result>;
  /** Resolves when the output so far contains this. */
  said(what: string): Promise<void>;
}

/** A process that the test ends itself; what a failing test leaves is killed. Not for concurrent tests. */
export function start(args: readonly string[], options: RunOptions = {}): Started {
  const started = launch(args, options);
  onTestFinished(() => void started.child.kill('SIGKILL'));
  return started;
}

function launch(args: readonly string[], options: RunOptions): Started {
  const child = spawn(process.execPath, [options.program ?? main, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: environment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (piece) => {
    output += piece;
  });
  child.stderr.on('data', (piece) => {
    output += piece;
  });
  // A process that reads no input may end before it was written.
  child.stdin.on('error', () => {});
  child.stdin.end(options.stdin ?? '');
  const result = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]).then(
    ([stdout, stderr, [code]]) => ({ code: code as number | null, stdout, stderr }),
  );
  return {
    child,
    result,
    said: (what) =>
      until(
        () => output.includes(what),
        () => `"${what}" in: ${output}`,
      ),
  };
}

/** The command line of a process in a pseudo terminal, typing each answer when its question is there. */
export async function runInTerminal(
  args: readonly string[],
  dialogue: readonly (readonly [question: string, answer: string])[],
  options: RunOptions = {},
): Promise<{ code: number | null; screen: string }> {
  const words = [process.execPath, main, ...args].map((word) => `'${word}'`).join(' ');
  // A terminal without a size would break every line after each character.
  const child = spawn('script', ['-qefc', `stty cols 120 rows 40; exec ${words}`, '/dev/null'], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...environment(options), TERM: 'xterm' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let screen = '';
  child.stdout.on('data', (piece) => {
    screen += piece;
  });
  const exited = once(child, 'exit');
  try {
    let from = 0;
    for (const [question, answer] of dialogue) {
      await until(
        () => screen.indexOf(question, from) >= 0,
        () => `"${question}" on: ${screen}`,
      );
      from = screen.indexOf(question, from) + question.length;
      child.stdin.write(answer);
    }
    const [code] = await exited;
    return { code: code as number | null, screen };
  } finally {
    child.kill();
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`There was no ${what()}`);
    await sleep(20);
  }
}

/** A folder that is removed at the end of the test. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cli-'));
  return { path: folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

function environment({ site, env }: RunOptions): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    TMPDIR: tmpdir(),
    XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? '',
    ...(site && { FORESTAY_URL: site.url, FORESTAY_TOKEN: site.token }),
    ...env,
  };
}
