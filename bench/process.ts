import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A script of bash, which ends at the first failure of any of its programs; otherwise as `timeProgram`. */
export function runScript(script: string, options: RunOptions): Promise<number> {
  return timeProgram('bash', ['-e', '-o', 'pipefail', '-c', script], options);
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
  /** Bytes for its stdin. */
  readonly input?: Readable;
}

/**
 * Runs a program to its end, with stdout going to /dev/null; resolves with the seconds it took. Throws with what it said
 * when it fails. An abort ends it and all it started.
 */
export async function timeProgram(
  command: string,
  args: readonly string[],
  { signal, env, input }: RunOptions,
): Promise<number> {
  signal.throwIfAborted();
  const startedAt = performance.now();
  const child = spawn(command, args, {
    stdio: [input ? 'pipe' : 'ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '', LC_ALL: 'C', ...env },
    detached: true,
  });
  const abort = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGTERM');
  };
  signal.addEventListener('abort', abort, { once: true });
  let said = '';
  child.stderr?.on('data', (bytes: Buffer) => {
    said = (said + bytes).slice(-4000);
  });
  try {
    const closed = once(child, 'close') as Promise<[number | null, string | null]>;
    if (input && child.stdin) await pipeline(input, child.stdin).catch(() => {});
    const [code, killedBy] = await closed;
    signal.throwIfAborted();
    if (code !== 0) throw new Error(`${command} ended with ${killedBy ?? code}: ${said}`);
    return (performance.now() - startedAt) / 1000;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
