import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Bench, urlOf } from './bench.ts';
import { timeProgram } from './process.ts';

/** A database that is backed up, owned by a role as applications have one: no superuser, but one that may create databases. */
export interface Dataset {
  readonly database: string;
  readonly role: string;
  /** The role's URL. */
  readonly url: string;
  readonly description: string;
}

const password = 'bench-password';
const role = 'shop';

/**
 * Rows like those of a shop: customers, orders, events with JSON; numbers, times, words, some hashes; three indexes beside
 * the primary keys. Compresses about 4.5 times with zstd level 1.
 */
export async function makeRows(bench: Bench, database: string, dumpBytes: number): Promise<Dataset> {
  const dataset = await makeDatabase(bench, database, 'rows of a shop (numbers, times, words, JSON)');
  await bench.sql(schemaSql, database);
  const rows = Math.ceil(dumpBytes / bytesOfRow);
  for (let first = 1; first <= rows; first += batchRows) {
    const last = Math.min(rows, first + batchRows - 1);
    await bench.sql(fillSql(first, last), database);
    bench.say(`  ${database}: ${Math.round((100 * last) / rows)} %`);
  }
  await bench.sql(indexSql, database);
  await handOver(bench, dataset);
  return dataset;
}

/**
 * Rows of 1 MiB of random bytes, not compressed by the server: quick to make in any size, and what goes through the
 * service is as large as data can be (a dump holds them in hex, of which zstd gets one half back).
 */
export async function makeBlobs(bench: Bench, database: string, dumpBytes: number): Promise<Dataset> {
  const dataset = await makeDatabase(bench, database, 'rows of 1 MiB of random bytes (hex in the dump)');
  await bench.sql(
    'CREATE TABLE blobs (content bytea); ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL',
    database,
  );
  const rows = Math.ceil(dumpBytes / (2 * blobBytes));
  await timeProgram(
    join(bench.binDir, 'psql'),
    [
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-d',
      urlOf(bench.server, database),
      '-c',
      '\\copy blobs FROM pstdin BINARY',
    ],
    { signal: bench.signal, input: Readable.from(copyOfBlobs(rows)) },
  );
  await handOver(bench, dataset);
  return dataset;
}

export async function dropDatabase(bench: Bench, database: string): Promise<void> {
  await bench.sql(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`);
}

/** What a restore replaced is kept for an undo; here it would fill the disk, and its removal would disturb the next run. */
export async function dropReplaced(bench: Bench): Promise<void> {
  const kept = await bench.sql<{ datname: string }>(
    "SELECT datname FROM pg_database WHERE datname ~ '^forestay_.*_before$'",
  );
  for (const { datname } of kept) await dropDatabase(bench, datname);
}

/** A grant to somebody else: restores then go by way of a script that is rewritten. */
export async function grantToReader(bench: Bench, { database }: Dataset): Promise<void> {
  await bench.sql('CREATE ROLE reader');
  await bench.sql('GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader', database);
}

async function makeDatabase(bench: Bench, database: string, description: string): Promise<Dataset> {
  const known = await bench.sql(`SELECT 1 FROM pg_roles WHERE rolname = '${role}'`);
  if (known.length === 0) await bench.sql(`CREATE ROLE ${role} LOGIN CREATEDB PASSWORD '${password}'`);
  await bench.sql(`CREATE DATABASE "${database}" OWNER ${role}`);
  const url = new URL(urlOf(bench.server, database));
  url.username = role;
  url.password = password;
  return { database, role, url: url.href, description };
}

/** The superuser made the tables, because that is faster; they belong to the role. */
async function handOver(bench: Bench, { database }: Dataset): Promise<void> {
  const tables = await bench.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
    database,
  );
  await bench.sql(tables.map(({ name }) => `ALTER TABLE ${name} OWNER TO ${role};`).join('\n'), database);
  await bench.sql('VACUUM (ANALYZE)', database);
}

const batchRows = 500_000;
/** Bytes of dump of one order with its event and its share of a customer, measured. */
const bytesOfRow = 246;

const schemaSql = `
  CREATE TABLE customers (id int NOT NULL, name text NOT NULL, email text NOT NULL, since timestamptz NOT NULL);
  CREATE TABLE orders (id bigint NOT NULL, customer_id int NOT NULL, placed_at timestamptz NOT NULL, status text NOT NULL,
    total numeric(10,2) NOT NULL, note text);
  CREATE TABLE events (id bigint NOT NULL, order_id bigint NOT NULL, at timestamptz NOT NULL, payload jsonb NOT NULL, digest text);`;

const words = `ARRAY['apple','birch','cedar','delivery','express','forest','garden','harbour','invoice','jacket','kettle','lantern',
  'marble','notebook','orange','parcel','quarter','river','saddle','timber','umbrella','velvet','window','yellow','zipper',
  'bridge','copper','damaged','engine','fragile','gift','handle']`;
const word = (salt: number) => `w[1 + (i * ${salt} + (random() * 7)::int) % 32]`;

function fillSql(first: number, last: number): string {
  const series = `generate_series(${first}::bigint, ${last}::bigint) AS i, (SELECT ${words} AS w) AS words`;
  return `
    INSERT INTO customers SELECT i, initcap(${word(3)}) || ' ' || initcap(${word(7)}), ${word(5)} || i || '@example.org',
      timestamptz '2020-01-01' + i * interval '37 seconds' FROM ${series} WHERE i % 10 = 0;
    INSERT INTO orders SELECT i, (random() * ${last})::int, timestamptz '2021-01-01' + i * interval '11.3 seconds',
      (ARRAY['new','paid','sent','done','returned'])[1 + i % 5], (random() * 90000)::int / 100.0,
      concat_ws(' ', ${[3, 5, 7, 11, 13].map(word).join(', ')}) FROM ${series};
    INSERT INTO events SELECT i, i, timestamptz '2021-01-01' + i * interval '11.3 seconds' + random() * interval '1 hour',
      jsonb_build_object('kind', ${word(17)}, 'sku', (random() * 1e6)::int, 'qty', 1 + i % 4, 'from', ${word(19)}),
      md5(i::text) FROM ${series};`;
}

const indexSql = `
  ALTER TABLE customers ADD PRIMARY KEY (id);
  ALTER TABLE orders ADD PRIMARY KEY (id);
  ALTER TABLE events ADD PRIMARY KEY (id);
  CREATE INDEX ON orders (customer_id);
  CREATE INDEX ON orders (placed_at);
  CREATE INDEX ON events (order_id);`;

const blobBytes = 1024 * 1024;

/** COPY's binary format: https://www.postgresql.org/docs/15/sql-copy.html */
async function* copyOfBlobs(rows: number): AsyncGenerator<Buffer> {
  yield Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
  const head = Buffer.alloc(6);
  head.writeInt16BE(1);
  head.writeInt32BE(blobBytes, 2);
  for (let row = 0; row < rows; row++) {
    yield head;
    yield randomFillSync(Buffer.allocUnsafeSlow(blobBytes));
  }
  yield Buffer.from([0xff, 0xff]);
}
