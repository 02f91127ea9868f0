import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Connection } from '../../../src/core/instance.ts';
import type { Engine } from '../../../src/engines/engine.ts';
import { type FullInstance, type InstanceFixture, takeBackup } from '../../contract/engine-contract.ts';
import { leaveRoom, mountTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import { killProcessesWith, processesWith } from '../processes.ts';

const run = promisify(execFile);

export interface SqliteInstance extends InstanceFixture {
  readonly folder: string;
  readonly database: string;
  /** Runs SQL as a program that has had the database open since before all restores. */
  program(sql: string): void;
}

/** A SQLite database that a program has open, with a write-ahead log or without. */
export async function makeSqlite(
  connection: (database: string) => Connection,
  journal: 'wal' | 'delete',
  inFolder = tmpdir(),
): Promise<SqliteInstance> {
  const folder = await mkdtemp(join(inFolder, 'sqlite-'));
  const database = join(folder, 'shop of ü $(x) `y` & co.sqlite');
  const program = new DatabaseSync(database, { timeout: 20_000 });
  program.exec(`PRAGMA journal_mode = ${journal}; CREATE TABLE goods (name TEXT)`);
  const sqlite3 = async (sql: string) =>
    (await run('sqlite3', ['-cmd', '.timeout 20000', database, sql], { maxBuffer: 256 * 1024 * 1024 }))
      .stdout;
  const dumpDigest = async () =>
    (await run('sh', ['-c', 'sqlite3 -cmd ".timeout 20000" "$1" .dump | sha256sum', 'sh', database])).stdout;
  return {
    folder,
    database,
    program: (sql) => program.exec(sql),
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
    fingerprint: async () => [
      await dumpDigest(),
      await sqlite3('PRAGMA integrity_check; PRAGMA user_version'),
    ],
    // The program goes on with the connection it had before the restore.
    write: async () => {
      program.exec('CREATE TABLE IF NOT EXISTS written (at TEXT); INSERT INTO written VALUES (random())');
    },
    startWriting: async () => {
      program.exec(
        'CREATE TABLE one (amount); INSERT INTO one VALUES (1000); CREATE TABLE two (amount); INSERT INTO two VALUES (0)',
      );
      return keepDoing(() => {
        program.exec('BEGIN; UPDATE one SET amount = amount - 1; UPDATE two SET amount = amount + 1; COMMIT');
        return turn();
      });
    },
    isConsistent: async () =>
      (await sqlite3('SELECT one.amount + two.amount FROM one, two')).trim() === '1000',
    killSource: () => killProcessesWith(database),
    remains: async () => [
      ...processesWith(database).map(({ args }) => `process ${args}`),
      ...(await readdir(folder)).filter(
        (name) => name.startsWith('.forestay') && !name.endsWith('-kept.sqlite'),
      ),
    ],
    close: async () => {
      program.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** On a disk with room for the backup (of a write-ahead log: for less), but not for what the exchange takes. */
export async function fullSqlite(
  makeEngine: (root: string) => Engine,
  connectionOf: (engine: Engine, database: string) => Connection,
  journal: 'wal' | 'delete',
): Promise<FullInstance> {
  await using making = new AsyncDisposableStack();
  const disk = making.use(await mountTmpfs(journal === 'wal' ? '64m' : '18m'));
  const engine = makeEngine(disk.mountPoint);
  const instance = await makeSqlite((path) => connectionOf(engine, path), journal, disk.mountPoint);
  await instance.fill('bulk');
  const backup = await takeBackup(engine, instance.connection);
  // How large that log is by now is its own business.
  if (journal === 'wal') await leaveRoom(disk, 3 * 1024 * 1024);
  const made = making.move();
  return { engine, instance, backup, [Symbol.asyncDispose]: () => made.disposeAsync() };
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
