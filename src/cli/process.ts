import { setMaxListeners } from 'node:events';
import { interrupted } from './errors.ts';
import { runCommandLine } from './program.ts';
import type { Surroundings } from './surroundings.ts';

/** npm hands on the signal that the terminal has sent to its child already: what follows this fast is the same one. */
const sameSignalMs = 500;
/** Milliseconds that the process may stay after its command has ended by a signal. */
const lingerMs = 2_000;

/** Runs one command as this process: signals come in as one AbortSignal, the result goes out as the exit code. */
export async function runProcess(
  args: readonly string[],
  { openSite }: Pick<Surroundings, 'openSite'>,
): Promise<void> {
  const { signal, release } = abortOnSignals();
  quitWhenNobodyReads();
  try {
    process.exitCode = await runCommandLine(args, { signal, openSite });
    // What was asked to stop and has stopped must not stay for a connection that nobody ended.
    if (signal.aborted) setTimeout(() => process.exit(), lingerMs).unref();
  } finally {
    release();
  }
}

/** The first signal asks to stop, the second one ends the process at once. */
function abortOnSignals(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  let first: number | undefined;
  const onSignal = (name: 'SIGINT' | 'SIGTERM') => {
    if (first === undefined) {
      first = performance.now();
      controller.abort(interrupted(name));
    } else if (performance.now() - first > sameSignalMs) {
      process.exit(interrupted(name).exitCode);
    }
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    release: () => process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  };
}

/** `forestay backup list x | head -1` is no failure of ours. A download notices by itself, as its pipe breaks. */
function quitWhenNobodyReads(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(141);
    throw error;
  });
}
