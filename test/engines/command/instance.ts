import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { chmod, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { createCommandEngine } from '../../../src/engines/command/engine.ts';
import type { InstanceFixture } from '../../contract/engine-contract.ts';
import { processesWith } from '../processes.ts';

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

export interface SqliteInstance extends InstanceFixture {
  readonly folder: string;
  readonly database: string;
}

/** A SQLite database that a program has open, with a write-ahead log or without. */
export async function makeSqlite(
  engine: ReturnType<typeof createCommandEngine>,
  journal: 'wal' | 'delete',
): Promise<SqliteInstance> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-'));
  const database = join(folder, 'shop of ü $(x) `y` & co.sqlite');
  const program = new DatabaseSync(database, { timeout: 20_000 });
  program.exec(`PRAGMA journal_mode = ${journal}; CREATE TABLE goods (name TEXT)`);
  const connection = (path: string) =>
    engine.parseConnection({ command: 'sqlite', parameters: { DATABASE: path } });
  const sqlite3 = async (sql: string) =>
    (await run('sqlite3', ['-cmd', '.timeout 20000', database, sql], { maxBuffer: 256 * 1024 * 1024 }))
      .stdout;
  const sqlite3DumpDigest = async () =>
    (await run('sh', ['-c', 'sqlite3 -cmd ".timeout 20000" "$1" .dump | sha256sum', 'sh', database])).stdout;
  return {
    folder,
    database,
    connection: connection(database),
    unreachable: connection(join(folder, 'missing.sqlite')),
    fill: async (kind) => {
      program.exec(kind === 'bulk' ? bulkSql : hostileSql);
    },
    grow: async (megabytes) => {
      program.exec(`CREATE TABLE big (id INTEGER PRIMARY KEY, a BLOB);
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${megabytes}) INSERT INTO big SELECT i, randomblob(1000000) FROM n`);
    },
    // By the shell of SQLite, which is not what restores.
    fingerprint: async () => [await sqlite3DumpDigest(), await sqlite3('PRAGMA integrity_check')],
    // The program goes on with the connection it had before the restore.
    write: async () => {
      program.exec('CREATE TABLE IF NOT EXISTS written (at TEXT); INSERT INTO written VALUES (random())');
    },
    startWriting: async () => {
      program.exec(
        'CREATE TABLE one (amount); INSERT INTO one VALUES (1000); CREATE TABLE two (amount); INSERT INTO two VALUES (0)',
      );
      let stopped = false;
      const writing = (async () => {
        while (!stopped) {
          program.exec(
            'BEGIN; UPDATE one SET amount = amount - 1; UPDATE two SET amount = amount + 1; COMMIT',
          );
          await turn();
        }
      })();
      return {
        stop: async () => {
          stopped = true;
          await writing;
        },
      };
    },
    isConsistent: async () =>
      (await sqlite3('SELECT one.amount + two.amount FROM one, two')).trim() === '1000',
    killSource: async () => {
      for (const { pid } of processesWith(database)) process.kill(pid, 'SIGKILL');
    },
    remains: async () => [
      ...processesWith(database).map(({ args }) => `process ${args}`),
      ...(await readdir(folder)).filter((name) => name.startsWith('.forestay')),
    ],
    close: async () => {
      program.close();
      await rm(folder, { recursive: true });
    },
  };
}

const bulkSql = `CREATE TABLE bulk (id INTEGER PRIMARY KEY, a TEXT, b BLOB);
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO bulk SELECT i, hex(i), randomblob(1500) FROM n;
  CREATE INDEX by_a ON bulk (a)`;

const hostileSql = `CREATE TABLE "-t;
 DROP TABLE goods; --" ("c ""1""" TEXT, 'ü' BLOB);
  INSERT INTO "-t;
 DROP TABLE goods; --" VALUES ('.quit', x'00ff'), ('🦫', NULL), (char(10, 0, 13), ''), ('it''s', 1e300);
  CREATE VIEW v AS SELECT * FROM goods; CREATE TRIGGER tr AFTER INSERT ON goods BEGIN DELETE FROM goods; END;
  PRAGMA user_version = 42`;

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
    killSource: async () => {
      for (const { pid } of processesWith(file)) process.kill(pid, 'SIGKILL');
    },
    remains: async () => [
      ...processesWith(file).map(({ args }) => `process ${args}`),
      ...(await readdir(folder)).filter((name) => name.includes('.staged-')),
    ],
    close: () => rm(folder, { recursive: true }),
  };
}
