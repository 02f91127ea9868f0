import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { mariadbFingerprint } from '../../test/support/compare-mariadb.ts';
import { type MariadbAddress, runMariadb } from '../../test/support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../test/support/mariadb-server.ts';
import { mariadb } from '../../test/support/prepare.ts';
import type { Check, Dataset, DemoServer, Fingerprint } from '../dataset.ts';
import { DemoFailed } from '../demo-failed.ts';
import { count } from '../narrate.ts';
import { ended } from '../open-download.ts';
import { prepareMachine } from '../prepare-machine.ts';
import { fill } from './fill.ts';

const user = 'chandler';
const database = 'shop';

/** The story with MariaDB: private servers of the binaries that the machine has. */
export function createMariadbDataset(): Dataset {
  return { engine: 'mariadb', prepareMachine: () => prepareMachine([mariadb]), startServer };
}

async function startServer(): Promise<DemoServer> {
  const server = await startMariadbServer({ settings: { 'innodb-buffer-pool-size': '256M' } });
  try {
    return await makeInstance(server);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function makeInstance(server: MariadbServer): Promise<DemoServer> {
  const password = randomBytes(18).toString('base64url');
  const { host, port } = server;
  const address = { host, port, user, password, database };
  await runMariadb(
    server.admin,
    `CREATE DATABASE ${database}; CREATE USER ${user}@'%' IDENTIFIED BY '${password}';
     GRANT ALL PRIVILEGES ON ${database}.* TO ${user}@'%'; GRANT ALL PRIVILEGES ON \`forestay\\_%\`.* TO ${user}@'%'`,
  );
  const [version] = await runMariadb<{ text: string }>(
    server.admin,
    "SELECT SUBSTRING_INDEX(VERSION(), '-', 1) AS text",
  );
  const size = () =>
    number(
      address,
      `SELECT SUM(DATA_LENGTH + INDEX_LENGTH) AS value FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${database}'`,
    );
  return {
    title: `MariaDB ${version?.text}`,
    connection: { host, port, database, username: user, password },
    fill: (dataSize, onStep, signal) => fill(address, dataSize, onStep, signal),
    size,
    // A script holds no indexes, but two digits for each byte of a picture.
    expectedBackupBytes: async () => 0.9 * (await size()),
    fingerprint: () => fingerprint({ ...server.admin, database }),
    destroySomeData: () => destroySomeData(address),
    checkOpened: (file, signal) => checkOpened(server, file, signal),
    destroy: () => server.stop(),
  };
}

async function number(address: MariadbAddress, sql: string): Promise<number> {
  const [row] = await runMariadb<{ value: unknown }>(address, sql);
  return Number(row?.value);
}

/** The checksum of every table, and all definitions as `mariadb-dump` and `SHOW CREATE` say them. */
async function fingerprint(address: Required<MariadbAddress>): Promise<Fingerprint> {
  const { tables, definitions, problems } = await mariadbFingerprint(address);
  if (problems.length > 0) throw new DemoFailed('mariadb-check finds something wrong.', [...problems]);
  const facts = new Map(Object.entries(tables).map(([name, value]) => [`table ${name}`, value]));
  for (const [at, line] of definitions.entries()) facts.set(`line ${at + 1} of the definitions`, line);
  const rows = Object.values(tables).reduce((sum, value) => sum + Number.parseInt(value, 10), 0);
  return {
    facts,
    summary: `${count(rows)} rows in ${Object.keys(tables).length} tables by CHECKSUM TABLE, ${definitions.length} lines of definitions; mariadb-check is content`,
  };
}

async function destroySomeData(address: MariadbAddress): Promise<string[]> {
  const lines = await number(address, 'SELECT COUNT(*) AS value FROM order_lines');
  const customers = await number(address, 'SELECT COUNT(*) AS value FROM customers WHERE id % 3 = 0');
  const products = await number(address, 'SELECT COUNT(*) AS value FROM products');
  await runMariadb(
    address,
    `DROP TABLE order_lines; DELETE FROM customers WHERE id % 3 = 0; UPDATE products SET price = 0;
     DROP PROCEDURE \`give back\`; DROP VIEW turnover, \`best orders\``,
  );
  return [
    `DROP TABLE order_lines: ${count(lines)} lines and two triggers are gone.`,
    `DELETE without a second thought: ${count(customers)} customers are gone, and all their orders.`,
    `UPDATE without WHERE: ${count(products)} products cost nothing.`,
    'A procedure and two views are dropped.',
  ];
}

/** The mariadb client restores the opened download into a scratch database. */
async function checkOpened(server: MariadbServer, file: string, signal: AbortSignal): Promise<Check> {
  const scratch = 'opened';
  const { host, port, admin } = server;
  // Views go by the rights of who defined them.
  await runMariadb(admin, `CREATE DATABASE ${scratch}; GRANT ALL PRIVILEGES ON ${scratch}.* TO ${user}@'%'`);
  const child = spawn(
    'mariadb',
    ['--no-defaults', '--binary-mode', `--host=${host}`, `--port=${port}`, `--user=${admin.user}`, scratch],
    {
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
      env: { PATH: process.env.PATH ?? '', MYSQL_PWD: admin.password },
    },
  );
  await Promise.all([ended('mariadb', child), pipeline(createReadStream(file), child.stdin, { signal })]);
  const tables = await number(
    admin,
    `SELECT COUNT(*) AS value FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${scratch}' AND TABLE_TYPE = 'BASE TABLE'`,
  );
  const lines = await number(admin, `SELECT COUNT(*) AS value FROM ${scratch}.order_lines`);
  await runMariadb(admin, `SET foreign_key_checks = 0; DROP DATABASE ${scratch}`);
  if (tables === 0) throw new DemoFailed('The mariadb client finds no tables in the opened download.');
  return {
    command: 'mariadb scratch < backup',
    result: `the mariadb client reads it: ${tables} tables, ${count(lines)} lines of orders`,
  };
}
