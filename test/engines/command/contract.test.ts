import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { createCommandEngine } from '../../../src/engines/command/engine.ts';
import { describeEngine } from '../../contract/engine-contract.ts';
import { orWhyNot } from '../../storage/filesystem/tmpfs.ts';
import { fullSqlite, makeSqlite } from '../sqlite/instance.ts';
import { copyExamples, fixtureCommands, makeNoted } from './instance.ts';

const noted = createCommandEngine({
  file: fixtureCommands(),
});

describeEngine('a command that can undo', {
  engine: noted,
  method: 'staged',
  whileWritten: 'not promised',
  makeInstance: () => makeNoted(noted),
  full: { notRun: 'what a command says of a full disk is its own: command.test.ts has its exit code' },
});

const why = whyNoSqlite();

describe.skipIf(why)(`the example for SQLite${why}`, async () => {
  const folder = await copyExamples();
  const engine = createCommandEngine({ file: join(folder, 'commands.json') });
  afterAll(() => rm(folder, { recursive: true }));
  for (const journal of ['wal', 'delete'] as const) {
    describeEngine(`SQLite (journal: ${journal})`, {
      engine,
      method: 'in place',
      makeInstance: () =>
        makeSqlite(
          (path) => engine.parseConnection({ command: 'sqlite', parameters: { DATABASE: path } }),
          journal,
        ),
      full: orWhyNot(() =>
        fullSqlite(
          () => engine,
          (_, path) => engine.parseConnection({ command: 'sqlite', parameters: { DATABASE: path } }),
          journal,
        ),
      ),
    });
  }
});

function whyNoSqlite(): string {
  try {
    execFileSync('sqlite3', ['--version']);
    return '';
  } catch {
    return ' [not run: there is no sqlite3 on this machine]';
  }
}
