import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

interface FoundProcess {
  readonly pid: number;
  readonly args: string;
}

/** Processes whose arguments or environment hold a text, other than this one; for texts that only one test knows. */
export function processesWith(text: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const args = read(`/proc/${pid}/cmdline`);
      const isDead = /^State:\s+[ZX]/m.test(read(`/proc/${pid}/status`));
      const mentions = args.includes(text) || read(`/proc/${pid}/environ`).includes(text);
      return mentions && !isDead ? [{ pid: Number(pid), args: args.replaceAll('\0', ' ') }] : [];
    });
}

/** Stops a process with all its threads, which takes them a moment. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const isStopped = () =>
    readdirSync(`/proc/${pid}/task`).every((thread) =>
      /^State:\s+T/m.test(read(`/proc/${pid}/task/${thread}/status`)),
    );
  const deadline = Date.now() + 10_000;
  while (!isStopped()) {
    if (Date.now() > deadline) throw new Error(`Process ${pid} does not stop.`);
    await sleep(5);
  }
}

/**
 * Kills the processes of this test that hold a text: children of this process and theirs, not those of a test beside it. Throws
 * when none was at work any more; where several are, one may end because of the other.
 */
export async function killProcessesWith(text: string): Promise<void> {
  const found = processesWith(text).filter(({ pid }) => isOurs(pid));
  const killed = found.filter(({ pid }) => {
    try {
      return process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
      throw error;
    }
  });
  if (killed.length === 0) throw new Error(`No process that holds "${text}" is at work any more`);
}

function isOurs(pid: number): boolean {
  if (pid === process.pid) return true;
  const parent = Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  return parent > 0 && isOurs(parent);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
