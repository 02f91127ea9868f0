import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { chmod, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { createCommandEngine } from '../../../src/engines/command/engine.ts';
import type { InstanceFixture } from '../../contract/engine-contract.ts';
import { killProcessesWith, processesWith } from '../processes.ts';

const run = promisify(execFile);

/** The commands of these tests. A checkout may leave the file open to a group, which the engine refuses. */
export function fixtureCommands(): string {
  const file = fileURLToPath(new URL('../../fixtures/command/commands.json', import.meta.url));
  chmodSync(file, 0o644);
  return file;
}

/** The examples of the documentation, as an operator would copy them. */
export async function copyExamples(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'commands-'));
  await cp(fileURLToPath(new URL('../../../docs/engines/command', import.meta.url)), folder, {
    recursive: true,
  });
  await chmod(join(folder, 'commands.json'), 0o600);
  return folder;
}

export interface NotedFile extends InstanceFixture {
  readonly file: string;
}

/** One file, by a command that keeps what it replaced, and that asks for a password. */
export async function makeNoted(engine: ReturnType<typeof createCommandEngine>): Promise<NotedFile> {
  const folder = await mkdtemp(join(tmpdir(), 'noted-'));
  const file = join(folder, 'data');
  await writeFile(file, 'at first');
  const connection = (path: string, password = 'correct-horse') =>
    engine.parseConnection({ command: 'noted', parameters: { FILE: path, PASSWORD: password } });
  return {
    file,
    connection: connection(file),
    wrong: { connection: connection(file, 'wr0ng s3cret'), secret: 'wr0ng s3cret' },
    unreachable: connection(join(folder, 'missing')),
    fill: (kind) => writeFile(file, kind === 'bulk' ? randomBytes(5 * 1024 * 1024) : 'a\0b\r\n\x1b[0m ü'),
    grow: async (megabytes) => {
      for (let piece = 0; piece < megabytes; piece++)
        await writeFile(file, randomBytes(1_000_000), { flag: 'a' });
    },
    fingerprint: async () => (await run('sha256sum', [file])).stdout,
    write: () => writeFile(file, randomBytes(10), { flag: 'a' }),
    startWriting: async () => ({ stop: async () => {} }),
    isConsistent: async () => true,
    killSource: () => killProcessesWith(file),
    remains: async () => [
      ...processesWith(file).map(({ args }) => `process ${args}`),
      ...(await readdir(folder)).filter((name) => name.includes('.staged-')),
    ],
    close: () => rm(folder, { recursive: true }),
  };
}
