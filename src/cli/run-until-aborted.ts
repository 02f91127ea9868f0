import { once } from 'node:events';
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
    // Not `aborted` of node:util: its listener is weak, and all that waits here is reached through it alone.
    await once(signal, 'abort');
  } finally {
    note('Stopping. Another Ctrl-C ends it at once.');
    await running.close();
  }
}
