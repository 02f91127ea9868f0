import { note } from './output.ts';

/** Announces what runs, and closes it in order when the signal aborts, which is how it is meant to end. */
export async function runUntilAborted(
  running: { close(): Promise<void> },
  signal: AbortSignal,
  announce: () => void,
): Promise<void> {
  try {
    if (signal.aborted) return;
    announce();
    // Not `aborted` of node:util: it listens weakly, so that the garbage collector takes us away while we wait.
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    note('Stopping. Another Ctrl-C ends it at once.');
    await running.close();
  }
}
