import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import { connectMariadb, runMariadb } from '../../support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { type MariadbInstance, makeMariadbInstance, type Rights } from './instance.ts';

const engine = createMariadbEngine();
const never = new AbortController().signal;

let server: MariadbServer;
let opened: MariadbInstance[] = [];
beforeAll(async () => {
  server = await startMariadbServer({ fsync: 'off', settings: { 'max-allowed-packet': '2M' } });
});
afterEach(async () => {
  for (const instance of opened) {
    // The server takes a moment to notice that a session was closed; one that is left stays.
    await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
      timeout: 10_000,
      interval: 50,
    });
    await instance.close();
  }
  opened = [];
});
afterAll(() => server.stop());

async function open(rights: Rights = 'owner', label?: string): Promise<MariadbInstance> {
  const instance = await makeMariadbInstance(server, rights, label);
  opened.push(instance);
  return instance;
}

async function restoreInto(instance: MariadbInstance, backup: TakenBackup) {
  const ticket = ticketFor(backup.source);
  const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  return { report, ticket };
}

describe('a round trip', () => {
  test('keeps everything MariaDB has, and undo brings back what was there', async () => {
    const instance = await open();
    await instance.fillWithEverything();
    const before = await instance.fingerprint();
    expect(before.problems).toEqual([]);
    const backup = await takeBackup(engine, instance.connection);
    await instance.asUser(`DROP VIEW a_view; ALTER TABLE kinds DROP COLUMN j; DROP TRIGGER \`first\`; DROP SEQUENCE unused;
      SET foreign_key_checks = 0; DROP TABLE a_child; CREATE TABLE other (a INT); CREATE TRIGGER \`of other\` BEFORE INSERT ON \`other\` FOR EACH ROW SET NEW.a = 5`);
    const spoilt = await instance.fingerprint();
    const { report, ticket } = await restoreInto(instance, backup);
    expect(report).toMatchObject({ method: 'staged', notKept: [] });
    expect(await instance.fingerprint()).toEqual(before);
    await instance.asUser("INSERT INTO kinds (l) VALUES ('more'); INSERT INTO z_parent VALUES (777, NULL)");
    expect(await instance.asUser('SELECT COUNT(*) AS n FROM audit WHERE n = 777')).toEqual([{ n: 2 }]);
    await engine.undo?.undo(instance.connection, ticket.id, never);
    expect(await instance.fingerprint()).toEqual(spoilt);
  });

  test('keeps foreign keys that refer to nothing as they are, in the backup and in what it replaces', async () => {
    const instance = await open();
    await instance.asUser(`CREATE TABLE p (a INT PRIMARY KEY); CREATE TABLE c (a INT, KEY (a), CONSTRAINT k FOREIGN KEY (a) REFERENCES p (a));
      CREATE TABLE q (a INT PRIMARY KEY); CREATE TABLE d (a INT, KEY (a), FOREIGN KEY (a) REFERENCES q (a)); SET foreign_key_checks = 0; DROP TABLE p`);
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.asUser('SET foreign_key_checks = 0; DROP TABLE q; CREATE TABLE p (a INT PRIMARY KEY)');
    const spoilt = await instance.fingerprint();
    const { ticket } = await restoreInto(instance, backup);
    expect(await instance.fingerprint()).toEqual(before);
    await instance.asUser('INSERT INTO q VALUES (1); INSERT INTO d VALUES (1); DELETE FROM d; DELETE FROM q');
    await engine.undo?.undo(instance.connection, ticket.id, never);
    expect(await instance.fingerprint()).toEqual(spoilt);
  });

  test('into a database of another name, with sequences, views and functions finding each other there', async () => {
    const source = await open('owner', 'from `x`');
    await source.fillWithEverything();
    const backup = await takeBackup(engine, source.connection);
    const destination = await open('superuser', 'to "y"');
    const { report } = await restoreInto(destination, backup);
    expect(report.notKept).toEqual([]);
    const [there, here] = [await source.fingerprint(), await destination.fingerprint()];
    expect(here.tables).toEqual(there.tables);
    expect(here.definitions.join('\n')).not.toContain('from ``x``');
    expect(await destination.asUser('SELECT COUNT(*) AS n FROM a_view')).toEqual([{ n: 3 }]);
    await source.admin(
      'DROP FUNCTION gross; DROP VIEW a_view; DROP VIEW z_view; DROP TABLE kinds; DROP SEQUENCE tickets',
    );
    await destination.asUser("INSERT INTO kinds (l) VALUES ('more')");
    expect(await destination.asUser('SELECT gross FROM a_view')).toHaveLength(4);
  });

  test('undone, brings back views in whichever order they need one another', async () => {
    const instance = await open();
    await instance.asUser('CREATE TABLE t (a INT); CREATE VIEW c AS SELECT * FROM t');
    const backup = await takeBackup(engine, instance.connection);
    await instance.asUser('CREATE VIEW b AS SELECT * FROM c; CREATE VIEW a AS SELECT * FROM b');
    const before = await instance.fingerprint();
    const { ticket } = await restoreInto(instance, backup);
    await engine.undo?.undo(instance.connection, ticket.id, never);
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('of tables named like their database, and sequences between names with quotes', async () => {
    const source = await open();
    const own = `\`${source.database}\``;
    await source.asUser(`CREATE TABLE ${own} (id INT, \`it's\` INT); INSERT INTO ${own} VALUES (3, 4); CREATE SEQUENCE s;
      CREATE VIEW v AS SELECT ${own}.id, MAX(${own}.\`it's\`) AS \`it's\`, NEXTVAL(s) AS n, 1 AS \`b's\` FROM ${own} GROUP BY ${own}.id;
      CREATE TABLE t (\`it's\` INT, a INT DEFAULT NEXTVAL(s), \`b's\` INT)`);
    const before = await source.fingerprint();
    const backup = await takeBackup(engine, source.connection);
    expect((await restoreInto(source, backup)).report.notKept).toEqual([]);
    expect(await source.fingerprint()).toEqual(before);
    const other = await open();
    expect((await restoreInto(other, backup)).report.notKept).toEqual([]);
    await source.admin('DROP SEQUENCE s');
    await other.asUser("INSERT INTO t (`b's`) VALUES (1)");
    expect(await other.asUser("SELECT id, `it's` FROM v")).toEqual([{ id: 3, "it's": 4 }]);
  });

  test('of rows as large as a packet may be, which are larger as statements', async () => {
    const instance = await open();
    await instance.asUser('CREATE TABLE large (id INT PRIMARY KEY, b LONGBLOB, t LONGTEXT)');
    const blob = Buffer.alloc(1_900_000, "\0'\\\n\xff;", 'latin1');
    const text = "ü'\\🦫\n".repeat(170_000);
    await instance.asUser('INSERT INTO large (id, b) VALUES (1, ?)', [Buffer.alloc(900_000, 7)]);
    await instance.asUser('INSERT INTO large (id, t) VALUES (2, ?)', [text]);
    const client = await connectMariadb(instance.address);
    for (let at = 0; at < blob.length; at += 500_000)
      await client.query(at === 0 ? 'SET @b = ?' : 'SET @b = CONCAT(@b, ?)', [
        blob.subarray(at, at + 500_000),
      ]);
    await client.query("INSERT INTO large VALUES (3, @b, NULL), (4, @b, ';')");
    await client.end();
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.asUser('DELETE FROM large');
    await restoreInto(instance, backup);
    expect(await instance.fingerprint()).toEqual(before);
    const [row] = await instance.asUser<{ b: Buffer }>('SELECT b FROM large WHERE id = 4');
    expect(row?.b.equals(blob)).toBe(true);
  });

  test('of what the server would not let in under its usual settings', async () => {
    const instance = await open('superuser');
    const folder = await mkdtemp(join(tmpdir(), 'mariadb-rows-'));
    try {
      await chmod(folder, 0o777);
      const columns = Array.from({ length: 100 }, (_, index) => `c${index} CHAR(100)`).join(', ');
      await instance.asUser(`SET sql_mode = 'ALLOW_INVALID_DATES', check_constraint_checks = 0, innodb_strict_mode = 0, explicit_defaults_for_timestamp = 1;
        CREATE TABLE checked (a INT CHECK (a > 0), j JSON); INSERT INTO checked VALUES (-1, 'no json');
        CREATE TABLE days (a DATE, b DATETIME DEFAULT '2004-02-31 00:00:00', z DATE DEFAULT '0000-00-00'); INSERT INTO days VALUES ('2003-04-31', '2004-02-30 10:00:00', '2004-00-00');
        CREATE TABLE wide (${columns}) CHARACTER SET latin1 ROW_FORMAT = COMPACT; CREATE TABLE blocks (a INT) ROW_FORMAT = DYNAMIC KEY_BLOCK_SIZE = 8;
        CREATE TABLE at (a TIMESTAMP NOT NULL, b TIMESTAMP NULL); INSERT INTO at VALUES ('2020-01-01 00:00:00', NULL);
        CREATE TABLE placed (a INT COMMENT ' DATA DIRECTORY=''x''') ENGINE = MyISAM DATA DIRECTORY = '${folder}'; INSERT INTO placed VALUES (1)`);
      const before = await instance.fingerprint();
      const backup = await takeBackup(engine, instance.connection);
      await instance.admin('SET GLOBAL explicit_defaults_for_timestamp = 0');
      await restoreInto(instance, backup);
      await instance.admin('SET GLOBAL explicit_defaults_for_timestamp = 1');
      const after = await instance.fingerprint();
      expect(after.tables).toEqual(before.tables);
      expect(before.definitions.filter((line) => !after.definitions.includes(line))).toEqual([
        expect.stringContaining(`DATA DIRECTORY='${folder}/'`),
      ]);
    } finally {
      await instance.admin('DROP TABLE IF EXISTS placed');
      await rm(folder, { recursive: true });
    }
  });

  test('of an archive with numbered rows', async () => {
    const instance = await open('superuser');
    await instance.asUser(`INSTALL PLUGIN IF NOT EXISTS archive SONAME 'ha_archive'; CREATE TABLE kept (id INT AUTO_INCREMENT PRIMARY KEY, a TEXT) ENGINE = ARCHIVE;
      INSERT INTO kept (a) VALUES ('x'), ('y')`);
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await restoreInto(instance, backup);
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('of triggers with comments in odd places and with roles as definers', async () => {
    const instance = await open('superuser');
    const role = `role ${instance.user}`;
    await instance.admin(`CREATE TABLE t (a TEXT); CREATE ROLE \`${role}\`; GRANT ALL ON *.* TO \`${role}\``);
    await instance.asUser(`CREATE DEFINER = \`${role}\` TRIGGER \`x\` # BEFORE
      BEFORE /* INSERT **/ INSERT --
      ON t FOR EACH ROW/* 🦫 */SET NEW.a = CONCAT(NEW.a, 'a\\\\b🦫');
      CREATE DEFINER = \`${role}\` PROCEDURE p() SELECT 1`);
    const backup = await takeBackup(engine, instance.connection);
    const { report } = await restoreInto(instance, backup);
    expect(report.notKept).toEqual([]);
    await instance.asUser("INSERT INTO t VALUES ('')");
    expect(await instance.asUser('SELECT a FROM t')).toEqual([{ a: 'a\\b🦫' }]);
    const [row] = await instance.asUser<Record<string, string>>('SHOW CREATE TRIGGER x');
    expect(row?.['SQL Original Statement']).toContain(`DEFINER=\`${role}\` TRIGGER`);
    await instance.admin(`DROP ROLE \`${role}\``);
  });

  test('at a server that ends idle sessions, and lets new ones only read', async () => {
    const instance = await open();
    await instance.asUser('CREATE TABLE t (a INT); INSERT INTO t VALUES (1)');
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.admin('SET GLOBAL wait_timeout = 1; SET GLOBAL tx_read_only = 1');
    try {
      const slow = async function* () {
        yield Buffer.from(backup.bytes.subarray(0, 500));
        const idle = await connectMariadb(instance.userAddress);
        await expect.poll(() => idle.isValid(), { timeout: 10_000 }).toBe(false);
        yield Buffer.from(backup.bytes.subarray(500));
      };
      const { connection } = instance;
      await engine.restore(connection, Readable.from(slow()), ticketFor(backup.source), never);
    } finally {
      await runMariadb(server.admin, 'SET GLOBAL wait_timeout = DEFAULT; SET GLOBAL tx_read_only = DEFAULT');
    }
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('at a server that writes all names in small letters', async () => {
    const small = await startMariadbServer({
      fsync: 'off',
      settings: { 'lower-case-table-names': '1' },
    });
    try {
      const instance = await makeMariadbInstance(small, 'owner', 'ShOp');
      await instance.asUser(`CREATE SEQUENCE Numbers; CREATE TABLE Aa (a INT DEFAULT NEXTVAL(Numbers), b INT);
        CREATE FUNCTION Two() RETURNS INT RETURN 2; CREATE VIEW Vv AS SELECT Two() AS two, b FROM Aa`);
      const backup = await takeBackup(engine, instance.connection);
      const other = await makeMariadbInstance(small, 'owner', 'OtheR');
      await restoreInto(other, backup);
      await restoreInto(instance, backup);
      for (const { asUser } of [instance, other])
        expect(await asUser('INSERT INTO aa (b) VALUES (7); SELECT * FROM vv')).toEqual([{ two: 2, b: 7 }]);
      const source = await open();
      await source.asUser('CREATE TABLE T (a INT); CREATE TABLE t (a INT)');
      await expect(restoreInto(other, await takeBackup(engine, source.connection))).rejects.toMatchObject({
        code: 'IncompatibleBackup',
        hint: expect.stringContaining('capitals'),
      });
    } finally {
      await small.stop();
    }
  });

  test('by the mariadb client alone, without Forestay', async () => {
    const source = await open('superuser');
    await source.fillWithEverything();
    const before = await source.fingerprint();
    const backup = await takeBackup(engine, source.connection);
    await source.admin(
      `SET foreign_key_checks = 0; DROP DATABASE \`${source.database}\`; CREATE DATABASE \`${source.database}\` COLLATE utf8mb4_unicode_ci`,
    );
    const { spawnSync } = await import('node:child_process');
    const { host, port, user, password } = source.address;
    const done = spawnSync('mariadb', ['-h', host, '-P', String(port), '-u', user, source.database], {
      input: backup.bytes,
      env: { PATH: process.env.PATH ?? '', MYSQL_PWD: password },
      encoding: 'utf8',
    });
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(await source.fingerprint()).toEqual(before);
  });
});

describe('what is not as it should be is told', () => {
  test('missing rights, in the probe and by the backup or restore', async () => {
    const instance = await open('no staging');
    const { warnings } = await engine.probe(instance.connection, never);
    expect(warnings).toEqual([expect.stringContaining('GRANT ALL PRIVILEGES ON `forestay\\_%`.*')]);
    const backup = await takeBackup(engine, instance.connection);
    const before = await instance.fingerprint();
    await expect(restoreInto(instance, backup)).rejects.toMatchObject({
      code: 'InstanceRefused',
      hint: expect.stringContaining('GRANT ALL PRIVILEGES'),
    });
    expect(await instance.fingerprint()).toEqual(before);
    await runMariadb(
      server.admin,
      `REVOKE TRIGGER, EVENT ON \`${instance.database}\`.* FROM '${instance.user}'@'%'`,
    );
    await expect(takeBackup(engine, instance.connection)).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining('TRIGGER, EVENT'),
    });
  });

  test('engines without transactions, and FLOAT', async () => {
    const instance = await open();
    await instance.asUser(
      'CREATE TABLE m (a INT) ENGINE = MyISAM; CREATE TABLE ar (a FLOAT) ENGINE = Aria; INSERT INTO m VALUES (1)',
    );
    const { warnings } = await engine.probe(instance.connection, never);
    expect(warnings).toEqual([
      expect.stringContaining('1 of Aria, 1 of MyISAM'),
      expect.stringContaining('FLOAT'),
    ]);
    const backup = await takeBackup(engine, instance.connection);
    const { report } = await restoreInto(instance, backup);
    expect(report.notKept).toEqual([expect.stringContaining('1 of Aria, 1 of MyISAM')]);
  });

  test('definers that the user may not give, and views that refer to nothing', async () => {
    const source = await open('superuser');
    await source.asUser(`CREATE DEFINER = 'gone'@'%' PROCEDURE p() SELECT 1; CREATE TABLE t (a INT); CREATE TABLE u (a INT);
      CREATE DEFINER = 'gone'@'%' TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1; CREATE VIEW broken AS SELECT * FROM u; DROP TABLE u`);
    const backup = await takeBackup(engine, source.connection);
    const own = await restoreInto(source, backup);
    expect(own.report.notKept).toEqual([expect.stringContaining('view broken')]);
    expect(
      await source.asUser("SELECT DEFINER AS d FROM information_schema.ROUTINES WHERE ROUTINE_NAME = 'p'"),
    ).toEqual([{ d: 'gone@%' }]);
    const destination = await open('owner');
    const { report } = await restoreInto(destination, backup);
    expect(report.notKept).toEqual([
      expect.stringContaining('procedure p was defined by'),
      expect.stringContaining('trigger tr was defined by gone@%'),
      expect.stringContaining('view broken'),
    ]);
    await destination.asUser('CALL p(); INSERT INTO t VALUES (9)');
    expect(await destination.asUser('SELECT a FROM t')).toEqual([{ a: 1 }]);
  });

  test('characters that the server does not show in definitions', async () => {
    const instance = await open();
    await instance.asUser(`CREATE TABLE plain (a VARCHAR(9) DEFAULT '?', e ENUM('?', 'ü'), s SET('?'));
      CREATE TABLE kept (a VARCHAR(9) DEFAULT (CONCAT('🦫')), e ENUM('x'), CHECK (a <> '🦫' COLLATE utf8mb4_bin))`);
    await takeBackup(engine, instance.connection);
    await instance.asUser(`CREATE TABLE lost (d VARCHAR(9) DEFAULT '🦫', e ENUM('?', '🦫'), s SET('a', 'b', '🦫'),
      u ENUM('🦫') CHARACTER SET utf16)`);
    await expect(takeBackup(engine, instance.connection)).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining(': lost.d, lost.e, lost.s, lost.u.'),
    });
    const { warnings } = await engine.probe(instance.connection, never);
    expect(warnings).toEqual([expect.stringMatching(/^Backups will fail: ENUM, SET or DEFAULT .*lost\.d/)]);
  });

  test('history by numbers of transactions, and a server that limits the rows of answers', async () => {
    const instance = await open();
    await instance.asUser(`CREATE TABLE t (a INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END,
      PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING`);
    await expect(takeBackup(engine, instance.connection)).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining('numbers of transactions'),
    });
    await instance.asUser('DROP TABLE t; CREATE TABLE a (a INT); CREATE TABLE b (a INT)');
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.admin('SET GLOBAL sql_select_limit = 1');
    try {
      await expect(takeBackup(engine, instance.connection)).rejects.toMatchObject({
        code: 'InstanceRefused',
        message: expect.stringContaining('sql_select_limit'),
      });
      await restoreInto(instance, backup);
    } finally {
      await instance.admin('SET GLOBAL sql_select_limit = 18446744073709551615');
    }
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('tables that change while they are backed up', async () => {
    const instance = await open();
    await instance.asUser(
      'CREATE TABLE a AS SELECT REPEAT(MD5(seq), 200) AS x FROM seq_1_to_4000; CREATE TABLE z (a INT)',
    );
    const { stream } = await engine.backUp(instance.connection, never);
    const bytes = stream[Symbol.asyncIterator]();
    await bytes.next();
    await instance.asUser('DROP TABLE z');
    const drain = async () => {
      while (!(await bytes.next()).done);
    };
    await expect(drain()).rejects.toMatchObject({
      code: 'InstanceBusy',
      hint: expect.stringContaining('dropped'),
    });
  });

  test('a present table that cannot be moved away, because its file is gone', async () => {
    const instance = await open();
    await instance.asUser('CREATE TABLE bad (a INT); CREATE TABLE good (a INT); INSERT INTO good VALUES (1)');
    const backup = await takeBackup(engine, instance.connection);
    await instance.admin('FLUSH TABLES');
    const data = join(server.dataDir, 'data');
    const folder = (await readdir(data)).find((name) => name === instance.database.replace(' ', '@0020'));
    await rm(join(data, folder ?? '', 'bad.ibd'));
    await expect(restoreInto(instance, backup)).rejects.toMatchObject({
      code: 'InstanceRefused',
      hint: expect.stringContaining('drop it'),
    });
    expect(await instance.asUser('SELECT * FROM good')).toEqual([{ a: 1 }]);
    await instance.admin('DROP TABLE bad');
    await restoreInto(instance, backup);
    expect((await instance.fingerprint()).problems).toEqual([]);
  });

  test('events that are over', async () => {
    const instance = await open();
    await instance.asUser(`SET timestamp = 1500000000; CREATE EVENT e ON SCHEDULE AT '2019-01-01 00:00:00' DO SELECT 1;
      CREATE EVENT k ON SCHEDULE AT '2019-01-01 00:00:00' ON COMPLETION PRESERVE DO SELECT 1`);
    const backup = await takeBackup(engine, instance.connection);
    const { report } = await restoreInto(instance, backup);
    expect(report.notKept).toEqual([expect.stringContaining('event e was left out')]);
  });

  test('foreign keys of other databases to this one', async () => {
    const [instance, other] = [await open('superuser'), await open('superuser')];
    await instance.asUser('CREATE TABLE p (a INT PRIMARY KEY)');
    await other.asUser(`CREATE TABLE c (a INT, FOREIGN KEY (a) REFERENCES \`${instance.database}\`.p (a))`);
    const backup = await takeBackup(engine, instance.connection);
    await expect(restoreInto(instance, backup)).rejects.toMatchObject({ code: 'InstanceRefused' });
    await other.asUser('DROP TABLE c');
  });

  test('a backup of a newer server or another kind', async () => {
    const instance = await open();
    const backup = await takeBackup(engine, instance.connection);
    for (const change of [{ serverVersion: '12.1.2' }, { flavor: 'MySQL' }, { tables: 'many' }]) {
      const source = { ...backup.source, details: { ...backup.source.details, ...change } };
      const expected = { code: 'IncompatibleBackup' };
      await expect(engine.assertRestorable(instance.connection, source, never)).rejects.toMatchObject(
        expected,
      );
      await expect(restoreInto(instance, { ...backup, source })).rejects.toMatchObject(expected);
    }
  });
});

describe('while others are at work', () => {
  test('idle transactions are ended, and those of users that may not be ended make the restore fail', async () => {
    const instance = await open();
    await instance.asUser('CREATE TABLE t (a INT)');
    const backup = await takeBackup(engine, instance.connection);
    const idle = await connectMariadb(instance.userAddress);
    await idle.query('START TRANSACTION; SELECT * FROM t');
    await restoreInto(instance, backup);
    await expect(idle.query('SELECT 1')).rejects.toThrow();
  });

  test('writers of tables with triggers never meet them without', async () => {
    const instance = await open();
    await instance.asUser(`CREATE TABLE t (a INT, via VARCHAR(10)); CREATE TABLE n (a INT);
      CREATE TRIGGER \`tr\` BEFORE INSERT ON \`t\` FOR EACH ROW SET NEW.via = 'trigger'`);
    const backup = await takeBackup(engine, instance.connection);
    const failures = new Set<number>();
    const client = await connectMariadb(instance.userAddress);
    let turns = 0;
    const writer = await keepDoing(
      async (turn) => {
        turns = turn;
        await client
          .query('INSERT INTO t (a) VALUES (1)')
          .catch((error: { errno: number }) => failures.add(error.errno));
      },
      () => client.end(),
    );
    try {
      let last = '';
      for (let round = 0; round < 4; round++) {
        const { ticket } = await restoreInto(instance, backup);
        if (last !== '') await engine.undo?.discard(instance.connection, last, never);
        last = ticket.id;
        const before = turns;
        await expect.poll(() => turns).toBeGreaterThan(before + 10);
      }
    } finally {
      await writer.stop();
    }
    expect(await instance.asUser('SELECT COUNT(*) AS n FROM t WHERE via IS NULL')).toEqual([{ n: 0 }]);
    // In the moment of the switch there is no such table.
    expect([...failures].filter((number) => number !== 1146)).toEqual([]);
  });
});
