import type { ChildProcess } from 'node:child_process';

/** Programs run in process groups of their own, so that ending one also ends what it started (shells, workers). */

/** Time between SIGTERM and SIGKILL. */
const graceMs = 5_000;
/** SIGTERM is sent once more after this: what a shell was starting just when the first came did not get that one. */
const onceMoreMs = 2_000;
/** The same for what a program left behind, once the program itself is gone. */
const leftBehindGraceMs = 250;

/** Ends a program and everything in its group: SIGTERM, later SIGKILL. Resolves when they are gone. */
export async function endGroup(child: ChildProcess, processGone: Promise<void>): Promise<void> {
  const group = child.pid;
  if (group !== undefined && signalGroup(group, 'SIGTERM')) {
    let deadline = Date.now() + graceMs;
    const onceMore = setTimeout(() => signalGroup(group, 'SIGTERM'), onceMoreMs);
    let exited = false;
    processGone.then(() => {
      exited = true;
      deadline = Math.min(deadline, Date.now() + leftBehindGraceMs);
    });
    for (let pause = 1; !(exited && !signalGroup(group, 0)); pause = Math.min(50, pause * 2)) {
      if (Date.now() > deadline) {
        signalGroup(group, 'SIGKILL');
        break;
      }
      await Promise.race(
        [exited ? undefined : processGone, sleep(pause)].filter((wait) => wait !== undefined),
      );
    }
    clearTimeout(onceMore);
  }
  await processGone;
  // Only now: before, the program would take the end of its input for a clean one.
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.stderr?.destroy();
}

/** Programs that still run when this process exits are killed: the end of a pipe would look to them like a clean end. */
const living = new Set<ChildProcess>();

export function killAtExit(child: ChildProcess): void {
  if (living.size === 0) process.on('exit', killLiving);
  living.add(child);
  child.once('exit', () => {
    living.delete(child);
    if (living.size === 0) process.off('exit', killLiving);
  });
}

function killLiving(): void {
  for (const { pid } of living) if (pid !== undefined) signalGroup(pid, 'SIGKILL');
}

/** Whether there was anything to signal. */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    return false;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
