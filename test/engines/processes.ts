import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Processes whose arguments or environment hold a text, other than this one; for texts that only one test knows. */
export function processesWith(text: string): { readonly pid: number; readonly args: string }[] {
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

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
