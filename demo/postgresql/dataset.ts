import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { databaseFingerprint } from '../../test/support/compare-databases.ts';
import { runSql, withDatabase } from '../../test/support/postgres-client.ts';
import {
  findServerBinaries,
  type PostgresServer,
  startPostgresServer,
} from '../../test/support/postgres-server.ts';
import { postgresql } from '../../test/support/prepare.ts';
import type { Check, Dataset, DemoServer, Fingerprint } from '../dataset.ts';
import { DemoFailed } from '../demo-failed.ts';
import { count } from '../narrate.ts';
import { ended } from '../open-download.ts';
import { prepareMachine } from '../prepare-machine.ts';
import { fill } from './fill.ts';

const role = 'chandler';
const database = 'shop';

/** The story with PostgreSQL: private servers of the binaries that the machine has. */
export function createPostgresqlDataset(): Dataset {
  return {
    engine: 'postgresql',
    prepareMachine: () => prepareMachine([postgresql]),
    startServer,
  };
}

async function startServer(): Promise<DemoServer> {
  const server = await startPostgresServer({ settings: { shared_buffers: '256MB', max_wal_size: '4GB' } });
  try {
    return await makeInstance(server);
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function makeInstance(server: PostgresServer): Promise<DemoServer> {
  const adminUrl = withDatabase(server.adminUrl, database);
  const password = randomBytes(18).toString('base64url');
  const asUser = new URL(adminUrl);
  asUser.username = role;
  asUser.password = password;
  const userUrl = asUser.href;
  await runSql(server.adminUrl, `CREATE ROLE ${role} LOGIN CREATEDB PASSWORD '${password}'`);
  await runSql(server.adminUrl, `CREATE DATABASE ${database} OWNER ${role}`);
  const [version] = await runSql<{ text: string }>(
    adminUrl,
    "SELECT split_part(current_setting('server_version'), ' ', 1) AS text",
  );
  return {
    title: `PostgreSQL ${version?.text}`,
    connection: { host: server.host, port: server.port, database, username: role, password },
    fill: (size, onStep, signal) => fill(userUrl, size, onStep, signal),
    size: () => number(userUrl, 'SELECT pg_database_size(current_database()) AS value'),
    // A dump holds rows without their headers, and no indexes, but writes bytea as hexadecimal digits.
    expectedBackupBytes: () =>
      number(userUrl, "SELECT 0.9 * sum(pg_table_size(oid)) AS value FROM pg_class WHERE relkind = 'r'"),
    fingerprint: () => fingerprint(adminUrl),
    destroySomeData: () => destroySomeData(userUrl),
    checkOpened,
    destroy: () => server.stop(),
  };
}

async function number(url: string, sql: string): Promise<number> {
  const [row] = await runSql<{ value: string }>(url, sql);
  return Number(row?.value);
}

/** Every row of every table, every sequence and large object, and what `pg_dump --schema-only` says. */
async function fingerprint(url: string): Promise<Fingerprint> {
  const { tables, sequences, largeObjects, schema } = await databaseFingerprint(url);
  const facts = new Map<string, string>();
  const add = (kind: string, values: Readonly<Record<string, string>>) => {
    for (const [name, value] of Object.entries(values)) facts.set(`${kind} ${name}`, value);
  };
  add('table', tables);
  add('sequence', sequences);
  add('large object', largeObjects);
  for (const [at, line] of schema.entries()) facts.set(`line ${at + 1} of the definitions`, line);
  const rows = Object.values(tables).reduce((sum, value) => sum + Number.parseInt(value, 10), 0);
  const size = (values: object) => Object.keys(values).length;
  return {
    facts,
    summary: `${count(rows)} rows in ${size(tables)} tables, ${size(sequences)} sequences, ${size(largeObjects)} large objects, ${schema.length} lines of definitions`,
  };
}

async function destroySomeData(url: string): Promise<string[]> {
  const affected = async (sql: string) =>
    number(url, `WITH done AS (${sql} RETURNING 1) SELECT count(*) AS value FROM done`);
  const orders = await number(url, 'SELECT count(*) AS value FROM sales.orders');
  await runSql(url, 'DROP SCHEMA sales CASCADE');
  const deleted = await affected('DELETE FROM people.customers WHERE id % 3 = 0');
  const changed = await affected("UPDATE people.customers SET name = 'test' WHERE id % 100 = 1");
  await runSql(url, 'SELECT lo_unlink(min(oid::int)::oid) FROM pg_largeobject_metadata');
  return [
    `DROP SCHEMA sales CASCADE: ${count(orders)} orders, their lines, a view, a type, a sequence are gone.`,
    `DELETE without a second thought: ${count(deleted)} customers are gone.`,
    `UPDATE that was meant for the test system: ${count(changed)} customers are called "test".`,
    'A large object is unlinked.',
  ];
}

async function checkOpened(file: string, signal: AbortSignal): Promise<Check> {
  const program = join(findServerBinaries() ?? '', 'pg_restore');
  const child = spawn(program, ['--list', file], { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const [listing] = await Promise.all([text(child.stdout), ended('pg_restore', child)]);
  const entries = listing.split('\n').filter((line) => /^\d+;/.test(line));
  const tables = entries.filter((line) => / TABLE DATA /.test(line)).length;
  if (tables === 0) throw new DemoFailed('pg_restore finds no data in the opened download.');
  return {
    command: 'pg_restore --list backup',
    result: `pg_restore reads it: ${entries.length} entries, among them the data of ${tables} tables`,
  };
}
