import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../core/errors.ts';
import { abortError } from './abort.ts';

/**
 * Programs that a worker started go on when it is frozen or killed. Those that may change an instance are started with
 * variables in their environment by which whatever worker comes next, on the same machine, finds and ends them.
 */

const patienceMs = 10_000;

/**
 * Kills all processes of this machine whose environment has all of these variables; they pass it on to whatever they start.
 * Resolves when there are none. Throws `InstanceBusy` when they do not end. Sees nothing where there is no /proc.
 */
export async function endMarkedProcesses(
  mark: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const variables = Object.entries(mark).map(([name, value]) => `${name}=${value}`);
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const running = await markedProcesses(variables);
    if (running.length === 0) return;
    if (signal.aborted) throw abortError(signal);
    if (Date.now() > deadline) {
      throw new ForestayError('InstanceBusy', 'Processes of an earlier attempt do not end.', {
        hint: `End the processes with ${variables.join(' and ')} in their environment, then try again.`,
      });
    }
    for (const pid of running) kill(pid);
    await sleep(20);
  }
}

/** By Linux' /proc; processes of other users cannot be seen into, and are not ours. */
async function markedProcesses(variables: readonly string[]): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      const environment = text.split('\0');
      return variables.every((variable) => environment.includes(variable)) ? [Number(pid)] : [];
    }),
  );
  return found.flat().filter((pid) => pid !== process.pid);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
