import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, temporaryFolder } from './run.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeAll(async () => {
  folder = await temporaryFolder();
  const { stdout, code } = await run(['completion', 'bash']);
  expect(code).toBe(0);
  await writeFile(path.join(folder.path, 'completion.bash'), stdout);
  await writeFile(path.join(folder.path, 'my backup.enc'), '');
});
afterAll(() => folder[Symbol.asyncDispose]());

/** What bash offers for the last word of a line. */
async function complete(...words: string[]): Promise<string[]> {
  const script = `source ./completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _forestay; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = ['--norc', '-uc', script, 'bash', 'forestay', ...words];
  const { stdout, stderr } = await promisify(execFile)('bash', args, { cwd: folder.path });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

describe('completion in bash', () => {
  test('offers commands, then those within a group', async () => {
    expect(await complete('re')).toEqual(['restore']);
    expect(await complete('backup', '')).toEqual(expect.arrayContaining(['create', 'list', 'download']));
    expect(await complete('restore', 'u')).toEqual(['undo']);
  });

  test('offers the options of the command, and those that every command has', async () => {
    expect(await complete('backup', 'create', 'orders', '--')).toEqual(
      expect.arrayContaining(['--wait', '--json', '--url', '--help']),
    );
    expect(await complete('instance', 'list', '--w')).toEqual([]);
  });

  test('offers the values that an option or argument can have, and file names where files are meant', async () => {
    expect(await complete('decrypt', 'x', '--form', '')).toEqual(['a9s', 'stored']);
    expect(await complete('completion', 'f')).toEqual(['fish']);
    expect(await complete('decrypt', 'my')).toEqual(['my backup.enc']);
    expect(await complete('instance', 'add', '--name', '')).toEqual([]);
  });

  test('takes the value of an option for no command', async () => {
    expect(await complete('--url', 'backup', 'rest')).toEqual(['restore']);
  });
});

test('there is a script for zsh and fish too', async () => {
  const [zsh, fish] = await Promise.all([run(['completion', 'zsh']), run(['completion', 'fish'])]);
  expect(zsh.stdout).toMatch(/^#compdef forestay\n/);
  expect(fish.stdout).toContain("complete -c forestay -n '__forestay_at backup create' -l wait");
  expect(await run(['completion', 'tcsh'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('bash, zsh, fish'),
  });
});
