import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const log = fileURLToPath(new URL('../src/log.ts', import.meta.url));

/** Runs a program that has a log, and tells what messages came out before it was gone. */
function messagesOf(program: string): string[] {
  const source = `import { makeLog } from ${JSON.stringify(log)}; const log = makeLog('info'); ${program}`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
  return [...stderr.matchAll(/^\{.*"msg":"(\w+)"\}$/gm)].map((match) => match[1]!);
}

test.each([
  ['the end of the program', "log.info('one'); setTimeout(() => log.info('two'), 30)"],
  ['process.exit', "log.info('one'); log.info('two'); process.exit(3)"],
  ['an uncaught error', "log.info('one'); log.info('two'); throw new Error('broken')"],
  [
    'a rejection that nobody handles',
    "log.info('one'); log.info('two'); await Promise.reject(new Error('broken'))",
  ],
])('no line is lost at %s', (_how, program) => {
  expect(messagesOf(program)).toEqual(['one', 'two']);
});

test('a line does not wait for the next one', () => {
  const killed =
    "log.info('one'); setTimeout(() => { log.info('two'); process.kill(process.pid, 'SIGKILL') }, 500)";
  expect(messagesOf(killed)).toContain('one');
});
