import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { makeProgram } from '../../src/cli/program.ts';

const text = await readFile(path.join(import.meta.dirname, '../../docs/command-line.md'), 'utf8');
const program = makeProgram({
  signal: new AbortController().signal,
  openSite: () => Promise.reject(new Error('not opened here')),
});

function leaves(command: Command, names: string[]): { name: string; command: Command }[] {
  if (command.commands.length === 0) return [{ name: names.join(' '), command }];
  return command.commands.flatMap((child) => leaves(child, [...names, child.name()]));
}

test('every command has its heading in the documentation, and every heading its command', () => {
  const headings = [...text.matchAll(/^### `(forestay [^`]*)`/gm)].map((match) => match[1] ?? '');
  const commands = leaves(program, ['forestay']).map(({ name }) => name);
  expect(headings.map((heading) => commands.find((name) => heading.startsWith(name)))).toEqual(
    expect.arrayContaining(commands),
  );
  expect(headings).toHaveLength(commands.length);
});

test('every option occurs in the documentation', () => {
  const options = [program, ...leaves(program, []).map(({ command }) => command)].flatMap(
    (one) => one.options,
  );
  const missing = options.map(({ long }) => long ?? '').filter((long) => !text.includes(long));
  expect(missing).toEqual([]);
});

test('every exit code occurs in the documentation', () => {
  const documented = [...text.matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]));
  expect(documented).toEqual(Object.values(exitCodes));
});
