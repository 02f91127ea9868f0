import { chmod, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSqliteEngine, type SqliteEngineOptions } from '../../../src/engines/sqlite/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { makeSqlite, type SqliteInstance } from './instance.ts';

const never = new AbortController().signal;

let root: string;
let engine: ReturnType<typeof createSqliteEngine>;
let instance: SqliteInstance;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sqlite-'));
  engine = makeEngine();
  instance = await makeSqlite((path) => engine.parseConnection({ path }), 'wal', root);
});
afterEach(async () => {
  expect(await instance.remains()).toEqual([]);
  await instance.close();
  await rm(root, { recursive: true });
});

function makeEngine(options: Partial<SqliteEngineOptions> = {}) {
  return createSqliteEngine({ roots: [root], forbidden: [], ...options });
}

function restore(backup: TakenBackup, by = engine) {
  return by.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
}

describe('paths', () => {
  test('that are not allowed are refused, also where links lead out', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'outside-'));
    await writeFile(join(outside, 'other.sqlite'), '');
    await symlink(outside, join(root, 'out'));
    await symlink(instance.database, join(root, 'link.sqlite'));
    await mkdir(join(root, 'folder'));
    for (const path of ['relative', '/etc/passwd', root, `${root}/../x`, `${root}/a\nb`])
      expect(() => engine.parseConnection({ path }), path).toThrow(
        expect.objectContaining({ code: 'BadRequest' }),
      );
    expect(() => makeEngine({ roots: [] }).parseConnection({ path: instance.database })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('FORESTAY_FILES_ROOTS') }),
    );
    for (const name of ['out/other.sqlite', 'link.sqlite', 'folder']) {
      const connection = engine.parseConnection({ path: join(root, name) });
      await expect(engine.probe(connection, never), name).rejects.toMatchObject({ code: 'InstanceRefused' });
      await expect(engine.backUp(connection, never), name).rejects.toMatchObject({ code: 'InstanceRefused' });
    }
    await rm(outside, { recursive: true });
  });

  test('of a file that is no database are refused, and the way to restore there is named', async () => {
    await writeFile(join(root, 'text'), 'This is no database, but a text that is long enough. '.repeat(9));
    const connection = engine.parseConnection({ path: join(root, 'text') });
    await expect(engine.probe(connection, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
      hint: expect.stringContaining('make an empty file in its place'),
    });
    await expect(takeBackup(engine, connection)).rejects.toMatchObject({ code: 'InstanceRefused' });
    const backup = await takeBackup(engine, instance.connection);
    await writeFile(join(root, 'text'), '');
    await engine.restore(connection, streamOf(backup.bytes), ticketFor(backup.source), never);
    const restored = new DatabaseSync(join(root, 'text'));
    expect(restored.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'goods' }]);
    restored.close();
  });
});

describe('a restore', () => {
  test('keeps mode and inode of the file, and nobody else may read what it stages or keeps', async () => {
    await chmod(instance.database, 0o640);
    const backup = await takeBackup(engine, instance.connection);
    const before = await stat(instance.database);
    const ticket = ticketFor(backup.source);
    await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
    const { ino, mode } = await stat(instance.database);
    expect({ ino, mode }).toEqual({ ino: before.ino, mode: before.mode });
    const kept = `.forestay-restore-${ticket.id.replaceAll('-', '')}-a1-kept.sqlite`;
    expect((await stat(join(instance.folder, kept))).mode & 0o777).toBe(0o600);
  });

  test('lets who reads go on with the old data to the end of the transaction', async () => {
    const backup = await takeBackup(engine, instance.connection);
    await instance.write();
    const reader = new DatabaseSync(instance.database);
    const tables = () => reader.prepare('SELECT name FROM sqlite_schema').all().length;
    reader.exec('BEGIN');
    expect(tables()).toBe(2);
    await restore(backup);
    expect(tables()).toBe(2);
    reader.exec('COMMIT');
    expect(tables()).toBe(1);
    reader.close();
  });

  test.for([
    ['wal', 512],
    ['wal', 65536],
    ['delete', 8192],
  ] as const)(
    'takes a backup of a database with journal %s and pages of %i bytes, and undoes it',
    async ([journal, pageSize]) => {
      const other = join(root, 'other.sqlite');
      const made = new DatabaseSync(other);
      made.exec(`PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = ${journal};
      CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000)), ('a')`);
      made.close();
      const backup = await takeBackup(engine, engine.parseConnection({ path: other }));
      await instance.fill('hostile');
      const before = await instance.fingerprint();
      const ticket = ticketFor(backup.source);
      const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
      expect(report.notKept).toEqual([expect.stringContaining('The size of its pages')]);
      const reader = new DatabaseSync(instance.database);
      expect(reader.prepare('SELECT length(x) AS l FROM t').all()).toEqual([{ l: 100000 }, { l: 1 }]);
      expect(reader.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
      reader.close();
      await engine.undo?.undo(instance.connection, ticket.id, never);
      expect(await instance.fingerprint()).toEqual(before);
    },
  );

  test.for([
    ['a page is lost', (bytes: Buffer) => bytes.subarray(0, -4096)],
    ['a page is too much', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(4096)])],
    [
      'a page is overwritten',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -4096), Buffer.alloc(4096, 7)]),
    ],
  ] as const)('refuses a database of which %s', async ([, spoil]) => {
    await instance.fill('bulk');
    const backup = await takeBackup(engine, instance.connection);
    const before = await instance.fingerprint();
    await expect(restore({ ...backup, bytes: spoil(backup.bytes) })).rejects.toMatchObject({
      code: 'IncompatibleBackup',
    });
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('says that the instance is busy when somebody does not end a transaction', async () => {
    const hurried = makeEngine({ shell: { lockMs: 100 } });
    const backup = await takeBackup(engine, instance.connection);
    instance.program('BEGIN IMMEDIATE');
    await expect(restore(backup, hurried)).rejects.toMatchObject({ code: 'InstanceBusy' });
    instance.program('COMMIT');
    await restore(backup, hurried);
  });
});

describe('the tool', () => {
  const program = async (script: string) => {
    const file = join(root, 'sqlite3');
    await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
    return makeEngine({ shell: { program: file }, stallMs: 500 });
  };

  test('is missing or too old: that is said before anything is done', async () => {
    for (const by of [makeEngine({ shell: { program: '/no/sqlite3' } }), await program('echo 3.36.0 2021')]) {
      await expect(by.probe(instance.connection, never)).rejects.toMatchObject({ code: 'ToolMissing' });
      await expect(by.backUp(instance.connection, never)).rejects.toMatchObject({ code: 'ToolMissing' });
      expect(await by.tools(never)).toMatchObject([{ tool: 'sqlite3', found: [], hint: expect.any(String) }]);
    }
  });

  test.for([
    ['none', 'exit 0', /sh ended|cannot open|exited/],
    ['something else', 'echo no database > "$copy"', /not a whole database/],
  ] as const)('that exits with 0 and has made %s makes no backup', async ([, lie, message]) => {
    const findCopy = `copy=$(echo "$*" | sed 's/.*--async "\\([^"]*\\)".*/\\1/')`;
    const by = await program(`[ "$1" != --version ] || { echo 3.40.1; exit; }\n${findCopy}\n${lie}`);
    await expect(takeBackup(by, instance.connection)).rejects.toMatchObject({
      code: 'ToolFailed',
      message: expect.stringMatching(message),
    });
  });

  test('that hangs is ended', async () => {
    const by = await program('[ "$1" = --version ] && echo 3.40.1 || exec sleep 60');
    await expect(takeBackup(by, instance.connection)).rejects.toMatchObject({ code: 'InstanceUnreachable' });
  });
});

test('a copy that a crash left goes with the first backup a day later', async () => {
  const [old, young] = ['old', 'young'].map((name) => join(instance.folder, `.forestay-copy-${name}.sqlite`));
  for (const file of [old, young]) await writeFile(file!, '');
  const twoDaysAgo = new Date(Date.now() - 2 * 24 * 60 * 60 * 1000);
  await utimes(old!, twoDaysAgo, twoDaysAgo);
  await takeBackup(engine, instance.connection);
  await expect(stat(old!)).rejects.toMatchObject({ code: 'ENOENT' });
  await rm(young!);
});
