import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { runShort } from './run.ts';

/**
 * Kills the restore commands of all attempts on this machine, then lets the settle command say what they achieved. Without
 * one the answer is `clean`: what a command that was killed left undone or done, the next restore replaces.
 */
export async function settleRestore(
  target: Target,
  ticketId: string,
  signal: AbortSignal,
): Promise<'switched' | 'clean'> {
  await endRestoreCommands(ticketId, signal);
  if (!target.command.settle) return 'clean';
  const said = (await runShort(target, 'settle', { signal, env: { FORESTAY_RESTORE_ID: ticketId } })).trim();
  if (said === 'switched' || said === 'clean') return said;
  throw new ForestayError(
    'Misconfigured',
    `The settle command of ${target.command.name} must write "switched" or "clean".`,
    {
      hint: 'An operator must look at the command; docs/engines/command.md says what it is to do.',
    },
  );
}

const patienceMs = 10_000;

/** They bear the restore's id in their environment, and pass it on to whatever they start. */
async function endRestoreCommands(ticketId: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const running = await restoreCommands(ticketId);
    if (running.length === 0) return;
    if (signal.aborted) throw abortError(signal);
    if (Date.now() > deadline) {
      throw new ForestayError('InstanceBusy', 'Processes of an earlier attempt of this restore do not end.', {
        hint: `End the processes with FORESTAY_RESTORE_ID=${ticketId} in their environment, then try again.`,
      });
    }
    for (const pid of running) kill(pid);
    await sleep(20);
  }
}

/** By Linux' /proc; processes of other users cannot be seen into, and are not ours. */
async function restoreCommands(ticketId: string): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      const variables = environment.split('\0');
      return variables.includes(`FORESTAY_RESTORE_ID=${ticketId}`) &&
        variables.includes('FORESTAY_VERB=restore')
        ? [Number(pid)]
        : [];
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
