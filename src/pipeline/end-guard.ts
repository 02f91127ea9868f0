import { type ChildProcess, spawn } from 'node:child_process';

/**
 * When a process dies, its pipes close, and to whoever reads from one that looks like a clean end of the input. A program for
 * which that end means "now do it" must not see it then. So a small shell holds the writing end open, too: it lets go when it
 * is told that the end is meant, and kills the program's process group when this process is gone without having said so.
 */

/** What the program is started through: until it is certain that the guard is there, it does not run. */
export function guardedCommand(command: string, args: readonly string[]): [string, string[]] {
  return ['/bin/sh', ['-c', 'IFS= read -r start && exec "$@"', 'sh', command, ...args]];
}

/** Guards the input of a program that was started as `guardedCommand` says, and lets it start. Returns what ends the guard. */
export function guardEnd(child: ChildProcess): () => void {
  const { pid, stdin } = child;
  if (pid === undefined || !stdin) return () => {};
  const guard = spawn('/bin/sh', ['-c', guardScript, 'sh', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore', stdin],
    env: {},
    detached: true,
  });
  const control = guard.stdin;
  control?.on('error', () => {});
  // Without a guard the program must not start: the end of its input before the first line says so.
  guard.on('error', () => stdin.destroy());
  // At once, before anybody else can write.
  if (guard.pid !== undefined) stdin.write('start\n');
  return () => control?.end('end\n');
}

/** Descriptor 3, which is open as long as the script runs, is the writing end. */
const guardScript = `trap '' HUP INT TERM
IFS= read -r word
[ "$word" = end ] || kill -s KILL -- "-$1"`;
