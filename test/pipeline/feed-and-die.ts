/** Feeds a program with a guarded input, and is killed in the middle of it. Sends the id of the program's process first. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { runSink } from '../../src/pipeline/child-process.ts';

const [command = '', file = '', wait = '0'] = process.argv.slice(2);
if (process.send) {
  const sink = runSink(command, [file], { guardEnd: true });
  sink.input.write(Buffer.alloc(100_000));
  process.send(childWith(file));
  await sleep(Number(wait));
  process.kill(process.pid, 'SIGKILL');
}

function childWith(argument: string): number {
  for (const pid of readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && name !== String(process.pid),
  )) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(argument)) return Number(pid);
    } catch {
      // It ended just now.
    }
  }
  return 0;
}
