import { randomBytes } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { type FullInstance, type InstanceFixture, takeBackup } from '../../contract/engine-contract.ts';
import { leaveRoom, mountTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { type MariadbFingerprint, mariadbFingerprint } from '../../support/compare-mariadb.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import {
  connectMariadb,
  type MariadbAddress,
  quoteMariadb,
  runMariadb,
} from '../../support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';

/** `owner`: all rights on the database and on schemas of restores; `no staging`: not on the latter. */
export type Rights = 'superuser' | 'owner' | 'no staging';

/** A database with a user of its own. */
export interface MariadbInstance extends InstanceFixture {
  fingerprint(): Promise<MariadbFingerprint>;
  readonly database: string;
  readonly user: string;
  /** Runs SQL in the database, with all rights or as the user. */
  admin<Row = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<Row[]>;
  asUser<Row = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<Row[]>;
  readonly address: Required<MariadbAddress>;
  readonly userAddress: Required<MariadbAddress>;
  /** With everything a backup could lose. */
  fillWithEverything(): Promise<void>;
}

const engine = createMariadbEngine();
const quotedText = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

export async function makeMariadbInstance(
  server: MariadbServer,
  rights: Rights,
  label = '',
): Promise<MariadbInstance> {
  const id = randomBytes(5).toString('hex');
  const database = `test ${id}${label && ` ${label}`}`;
  const user = `user ${id}${label && ` ${label}`}`;
  const password = `pw '\\%@:/"# ${id}`;
  const root = <Row = Record<string, unknown>>(sql: string, values?: unknown[]) =>
    runMariadb<Row>(server.admin, sql, values);
  const who = `${quotedText(user)}@'%'`;
  const pattern = (name: string) => quoteMariadb(name.replaceAll(/[\\_%]/g, '\\$&'));
  await root(`CREATE DATABASE ${quoteMariadb(database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`);
  await root(`CREATE USER ${who} IDENTIFIED BY ${quotedText(password)}`);
  if (rights === 'superuser') await root(`GRANT ALL PRIVILEGES ON *.* TO ${who}`);
  else await root(`GRANT ALL PRIVILEGES ON ${pattern(database)}.* TO ${who}`);
  if (rights === 'owner') await root(`GRANT ALL PRIVILEGES ON \`forestay\\_%\`.* TO ${who}`);

  const { host, port } = server;
  const fields = { host, port, database, username: user, password };
  const connection = engine.parseConnection(fields);
  const userAddress = { host, port, user, password, database };
  const address = { ...server.admin, database };
  const asUser: MariadbInstance['asUser'] = (sql, values) => runMariadb(userAddress, sql, values);
  const admin: MariadbInstance['admin'] = (sql, values) => runMariadb(address, sql, values);
  return {
    connection,
    database,
    user,
    address,
    userAddress,
    admin,
    asUser,
    wrong: {
      connection: engine.parseConnection({ ...fields, password: 'wr0ng-s3cret' }),
      secret: 'wr0ng-s3cret',
    },
    unreachable: engine.parseConnection({ ...fields, port: 1 }),
    fill: async (kind) => {
      await asUser(kind === 'bulk' ? bulkSql : hostileSql);
    },
    grow: async (megabytes) => {
      await asUser('CREATE TABLE big (id INT PRIMARY KEY, a VARBINARY(1024) NOT NULL, b TEXT NOT NULL)');
      // 10 kB a row: as text, and as bytes, which a backup has as hexadecimal digits.
      const some = Array.from({ length: 6 }, () => 'TO_BASE64(RANDOM_BYTES(1024))').join(', ');
      for (let first = 1; first <= megabytes * 100; first += 2000)
        await asUser(`INSERT INTO big SELECT seq, RANDOM_BYTES(1024), CONCAT(${some})
          FROM seq_${first}_to_${Math.min(megabytes * 100, first + 1999)}`);
    },
    fillWithEverything: async () => {
      await asUser(await readFile(new URL('../../fixtures/mariadb/everything.sql', import.meta.url), 'utf8'));
    },
    fingerprint: () => mariadbFingerprint(address),
    write: async () => {
      await asUser('CREATE TABLE IF NOT EXISTS written (a VARCHAR(50)); INSERT INTO written VALUES (UUID())');
    },
    startWriting: async () => {
      await asUser(`CREATE TABLE balance_a AS SELECT 1000 AS amount; CREATE TABLE balance_b AS SELECT 0 AS amount;
        CREATE TABLE balance_filler AS SELECT seq, REPEAT(MD5(seq), 10) AS x FROM seq_1_to_20000`);
      const client = await connectMariadb(userAddress);
      return keepDoing(
        () =>
          client.query(
            'START TRANSACTION; UPDATE balance_a SET amount = amount - 1; UPDATE balance_b SET amount = amount + 1; COMMIT',
          ),
        () => client.end(),
      );
    },
    isConsistent: async () => {
      const [row] = await asUser<{ sum: number }>(
        'SELECT a.amount + b.amount AS sum FROM balance_a a, balance_b b',
      );
      return Number(row?.sum) === 1000;
    },
    killSource: async () => {
      const sessions = await root<{ id: number }>(
        'SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = ?',
        [user],
      );
      // Some of them may end by themselves, not all: the backup is not through.
      const killed = await Promise.allSettled(sessions.map(({ id }) => root(`KILL ${id}`)));
      if (!killed.some(({ status }) => status === 'fulfilled'))
        throw new Error('The backup has no session any more');
    },
    remains: async () => {
      const rows = await root<{ what: string }>(
        `SELECT CONCAT('session ', ID) AS what FROM information_schema.PROCESSLIST WHERE USER = ${quotedText(user)}
         UNION ALL SELECT CONCAT('schema ', SCHEMA_NAME) FROM information_schema.SCHEMATA
           WHERE SCHEMA_NAME REGEXP '^forestay_.*_(a[0-9]+|undone)$'`,
      );
      return rows.map(({ what }) => what);
    },
    close: async () => {
      const kept = await root<{ name: string }>(
        "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'forestay\\_%'",
      );
      for (const { name } of kept)
        await root(`SET foreign_key_checks = 0; DROP DATABASE IF EXISTS ${quoteMariadb(name)}`);
      await root(`SET foreign_key_checks = 0; DROP DATABASE ${quoteMariadb(database)}; DROP USER ${who}`);
    },
  };
}

/** On a server whose disk has room for little more. */
export async function fullMariadb(rights: Rights): Promise<FullInstance> {
  await using making = new AsyncDisposableStack();
  const disk = making.use(await mountTmpfs('256m'));
  await chmod(disk.mountPoint, 0o755);
  const server = await startMariadbServer({
    fsync: 'off',
    inFolder: disk.mountPoint,
    settings: { 'innodb-log-file-size': '8M' },
  });
  making.defer(() => server.stop());
  const instance = await makeMariadbInstance(server, rights);
  await instance.fill('bulk');
  const backup = await takeBackup(engine, instance.connection);
  await leaveRoom(disk, 4 * 1024 * 1024);
  const made = making.move();
  return { engine, instance, backup, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

/** The second table makes a dump ask the server again after the first, however much of that one is in buffers. */
const bulkSql = `CREATE TABLE bulk (id INT PRIMARY KEY, a CHAR(32) NOT NULL, b TEXT NOT NULL, KEY (a))
    SELECT seq AS id, MD5(seq) AS a, REPEAT(MD5(seq * 7), 6) AS b FROM seq_1_to_20000;
  CREATE TABLE bulk_more AS SELECT * FROM bulk LIMIT 10`;

const hostileSql = `CREATE TABLE \`-t "x"'\\\\ü;\n\\\\! touch /tmp/x\n-- forestay-programs-end\n*/\` (\`c ""1\`\`\` TEXT, \`b */ ;\` BLOB,
    p INT PRIMARY KEY AUTO_INCREMENT) COMMENT = ';\n\\\\! id';
  INSERT INTO \`-t "x"'\\\\ü;\n\\\\! touch /tmp/x\n-- forestay-programs-end\n*/\` (\`c ""1\`\`\`, \`b */ ;\`) VALUES ('\\\\', x'00ff275c0a'), ('\\n\\\\.\\nCOMMIT;\\n', ''),
    (NULL, NULL), ('\\t\\r\\n\\0\\Z', x'1a'), ('NULL', 'NULL'), ('🦫'';DROP TABLE x;--', '0x00'), ('DELIMITER ;;\\n\\\\! id', ');');
  CREATE TABLE plain (id INT PRIMARY KEY, note TEXT) ENGINE = InnoDB;
  CREATE PROCEDURE \`p ;;\n-- forestay-program: {}\`() SELECT ';;\nDELIMITER ;\n\\\\! id' AS "x";
  CREATE TRIGGER \`tr "x"'\\\\\` BEFORE INSERT ON \`plain\` FOR EACH ROW SET NEW.note = CONCAT(NEW.note, ';;\n-- Forestay backup completed\n');
  CREATE VIEW \`v "x"'\\\\\` AS SELECT note AS \`a'"b\`, '\\\\' AS c FROM plain;
  CREATE EVENT \`e "x"'\\\\\` ON SCHEDULE EVERY 1 YEAR COMMENT 'it''s;' DO DELETE FROM plain WHERE note = ';';
  INSERT INTO plain VALUES (1, 'a')`;
