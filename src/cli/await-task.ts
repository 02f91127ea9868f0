import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from './client.ts';
import { CliError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { showProgress } from './progress.ts';
import type { TaskBody } from './task-text.ts';

export interface AwaitOptions {
  /** `Backup 12`: for people. */
  readonly what: string;
  /** The command that shows how it is going. */
  readonly showCommand: string;
  /** Nothing is shown: the caller prints JSON. */
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

const pollMs = { first: 200, longest: 2000 };

/** A site that restarts is no reason to leave: polling goes on this long. */
const patienceMs = 60_000;

/**
 * Waits until a task has finished, whichever way, showing its progress. When the signal aborts, the task goes on without
 * us, and the error says so.
 */
export async function awaitTask<T extends TaskBody>(
  client: Client,
  path: string,
  options: AwaitOptions,
): Promise<T> {
  const progress = await showProgress(options.what, options.quiet);
  let lastAnswer = performance.now();
  let pause = pollMs.first;
  try {
    for (;;) {
      try {
        const task = await client.get<T>(path);
        lastAnswer = performance.now();
        progress.update(task);
        if (task.status !== 'queued' && task.status !== 'running') return task;
      } catch (error) {
        const gone = error instanceof CliError && error.exitCode === exitCodes.unreachable;
        if (!gone || performance.now() - lastAnswer > patienceMs) throw error;
        progress.silence();
      }
      await sleep(pause, undefined, { signal: options.signal });
      pause = Math.min(pollMs.longest, pause * 1.5);
    }
  } catch (error) {
    if (options.signal.aborted && options.signal.reason instanceof CliError) {
      throw leftRunning(options.signal.reason, options);
    }
    throw error;
  } finally {
    progress.stop();
  }
}

/** Throws, with the task's own error and hint, unless the task is done. */
export function assertDone(task: TaskBody, what: string): void {
  if (task.status === 'done') return;
  const reason = task.error?.message ?? `its status is ${task.status}`;
  throw new CliError(task.error?.code ?? 'TaskFailed', exitCodes.taskFailed, `${what} failed: ${reason}`, {
    hint: task.error?.hint ?? undefined,
  });
}

function leftRunning(interrupt: CliError, { what, showCommand }: AwaitOptions): CliError {
  return new CliError(
    interrupt.code,
    interrupt.exitCode,
    `No longer waiting. ${what} goes on without this command.`,
    {
      hint: `See how it is going with: ${showCommand}`,
    },
  );
}
