import { runMariadb } from '../../test/support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../test/support/mariadb-server.ts';
import type { Bench } from '../bench.ts';
import type { EngineRival, RivalServer } from './rival.ts';

/** Rows like those of a shop, against the script of mariadb-dump and the client that runs it. */
export const mariadbRival: EngineRival = {
  engine: 'mariadb',
  rivals: {
    backup: 'mariadb-dump --single-transaction --hex-blob > /dev/null',
    restore: 'mariadb < script, into an empty database',
  },
  targets: { backup: 1.25, restore: 1.25 },
  start,
};

const database = 'shop';
const restored = 'shop_restored';
const user = 'shop';
const password = 'bench-password';

/** As a server is set up that has work to do; durability is on. */
const settings = {
  'innodb-buffer-pool-size': '512M',
  'innodb-log-file-size': '1G',
  'max-allowed-packet': '64M',
};

async function start(bench: Bench): Promise<RivalServer> {
  const server = await startMariadbServer({ settings });
  const sql = (text: string) => runMariadb(server.admin, text);
  await sql(`CREATE DATABASE ${database}; CREATE USER ${user}@'%' IDENTIFIED BY '${password}';
    GRANT ALL PRIVILEGES ON ${database}.* TO ${user}@'%'; GRANT ALL PRIVILEGES ON ${restored}.* TO ${user}@'%';
    GRANT ALL PRIVILEGES ON \`forestay\\_%\`.* TO ${user}@'%'`);
  const address = '--no-defaults --host="$DB_HOST" --port="$DB_PORT" --user="$DB_USER"';
  return {
    connection: { host: server.host, port: server.port, database, username: user, password },
    fill: (bytes) => fill(bench, server, bytes),
    async settle() {
      const kept = (await sql(
        "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'forestay\\\\_%'",
      )) as { name: string }[];
      for (const { name } of kept) await sql(`SET foreign_key_checks = 0; DROP DATABASE \`${name}\``);
      await sql(`DROP DATABASE IF EXISTS ${restored}; CREATE DATABASE ${restored}`);
    },
    tool: {
      env: { DB_HOST: server.host, DB_PORT: `${server.port}`, DB_USER: user, MYSQL_PWD: password },
      dump: `mariadb-dump ${address} --single-transaction --hex-blob ${database}`,
      load: `mariadb ${address} ${restored}`,
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

/** Bytes of script of one order with its event, measured. */
const bytesOfRow = 235;
const batchRows = 200_000;

async function fill(bench: Bench, server: MariadbServer, bytes: number): Promise<void> {
  const address = { ...server.admin, database };
  await runMariadb(
    address,
    `CREATE TABLE orders (id BIGINT PRIMARY KEY, customer_id INT NOT NULL, placed_at DATETIME NOT NULL, status VARCHAR(20) NOT NULL,
       total DECIMAL(10, 2) NOT NULL, note TEXT, KEY (customer_id), KEY (placed_at));
     CREATE TABLE events (id BIGINT PRIMARY KEY, order_id BIGINT NOT NULL, at DATETIME(6) NOT NULL, payload JSON NOT NULL, digest CHAR(32), KEY (order_id))`,
  );
  const rows = Math.ceil(bytes / bytesOfRow);
  const word = (salt: number) =>
    `ELT(1 + (seq * ${salt} + FLOOR(RAND(seq) * 7)) % 8, 'apple', 'delivery', 'forest', 'harbour', 'kettle', 'notebook', 'parcel', 'fragile')`;
  for (let first = 1; first <= rows; first += batchRows) {
    bench.signal.throwIfAborted();
    const last = Math.min(rows, first + batchRows - 1);
    const series = `seq_${first}_to_${last}`;
    await runMariadb(
      address,
      `INSERT INTO orders SELECT seq, RAND(seq) * ${rows}, '2021-01-01' + INTERVAL seq * 11 SECOND, ELT(1 + seq % 5, 'new', 'paid', 'sent', 'done', 'returned'),
         RAND(seq + 1) * 900, CONCAT_WS(' ', ${[3, 5, 7, 11, 13].map(word).join(', ')}) FROM ${series};
       INSERT INTO events SELECT seq, seq, '2021-01-01' + INTERVAL seq * 11000001 MICROSECOND,
         JSON_OBJECT('kind', ${word(17)}, 'sku', FLOOR(RAND(seq) * 1000000), 'qty', 1 + seq % 4), MD5(seq) FROM ${series}`,
    );
    bench.say(`  mariadb: ${Math.round((100 * last) / rows)} %`);
  }
}
