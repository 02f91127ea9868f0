import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const program = `
  import { runUntilAborted } from ${JSON.stringify(import.meta.resolve('../../src/cli/run-until-aborted.ts'))};
  const stop = new AbortController();
  void (async () => {
    const running = { close: async () => console.log("closed") };
    await runUntilAborted(running, stop.signal, () => {});
    console.log("over");
  })();
  setTimeout(() => gc(), 50);
  setTimeout(() => stop.abort(), 100);
`;

test('a site that has run for long still stops when it is asked to: waiting for the signal is nothing to collect', async () => {
  const args = ['--expose-gc', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toBe('closed\nover\n');
});
