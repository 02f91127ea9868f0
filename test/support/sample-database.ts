import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { runSql, withDatabase } from './postgres-client.ts';

/** A database with data that can be told from other data cheaply, owned by a role of its own. */
export interface SampleDatabase extends AsyncDisposable {
  readonly name: string;
  readonly role: string;
  readonly password: string;
  /** As the API takes it. */
  readonly connection: { host: string; port: number; database: string; username: string; password: string };
  /** URL with the rights of the role. */
  readonly url: string;
  /** Changes with every row of the data; not with `write`. */
  digest(): Promise<string>;
  /** Other data, of about the same size, as if the application had worked on. */
  change(): Promise<void>;
  /** Throws unless the role can write and finds what it wrote. */
  write(): Promise<void>;
  /** Databases that a restore made at the server and that are still there. */
  leftovers(): Promise<string[]>;
  /** Drops the data and the role. */
  close(): Promise<void>;
}

export interface SampleOptions {
  /** Of plain dump, roughly; half of it is left after compression. */
  readonly megabytes?: number;
  /** Quicker to make, and next to nothing after compression. */
  readonly compressible?: boolean;
  readonly tablespace?: string;
  readonly password?: string;
}

/** Bytes of a row in a dump. */
const rowBytes = 540;

export async function makeSampleDatabase(
  adminUrl: string,
  {
    megabytes = 1,
    compressible = false,
    tablespace,
    password = randomBytes(12).toString('hex'),
  }: SampleOptions = {},
): Promise<SampleDatabase> {
  const id = randomBytes(5).toString('hex');
  const [name, role] = [`sample_${id}`, `role_${id}`];
  await runSql(adminUrl, `CREATE ROLE ${role} LOGIN CREATEDB PASSWORD '${password}'`);
  if (tablespace) await runSql(adminUrl, `GRANT CREATE ON TABLESPACE ${tablespace} TO ${role}`);
  await runSql(
    adminUrl,
    `CREATE DATABASE ${name} OWNER ${role} ${tablespace ? `TABLESPACE ${tablespace}` : ''}`,
  );
  const url = new URL(withDatabase(adminUrl, name));
  url.username = role;
  url.password = password;
  const asRole = <Row extends object>(sql: string) => runSql<Row & Record<string, unknown>>(url.href, sql);
  const rows = Math.max(100, Math.round((megabytes * 1_000_000) / rowBytes));
  const text = compressible
    ? 'repeat(md5(g::text), 16)'
    : "(SELECT string_agg(md5(random()::text || g || i), '') FROM generate_series(1, 16) i)";
  await asRole(
    `CREATE TABLE sample (id int PRIMARY KEY, version int NOT NULL, a text NOT NULL);
     INSERT INTO sample SELECT g, 1, ${text} FROM generate_series(1, ${rows}) g;
     CREATE TABLE written (a text)`,
  );
  let version = 1;
  const { hostname, port } = url;
  return {
    name,
    role,
    password,
    connection: { host: hostname, port: Number(port), database: name, username: role, password },
    url: url.href,
    async digest() {
      const [row] = await asRole<{ digest: string }>(
        "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) AS digest FROM sample t",
      );
      return row!.digest;
    },
    async change() {
      version += 1;
      await asRole(
        `UPDATE sample SET version = ${version} WHERE id % 50 = ${version % 50}; INSERT INTO sample SELECT max(id) + 1, ${version}, 'new' FROM sample`,
      );
    },
    async write() {
      const mark = randomBytes(8).toString('hex');
      await asRole(`INSERT INTO written VALUES ('${mark}')`);
      const found = await asRole(`SELECT 1 FROM written WHERE a = '${mark}'`);
      if (found.length === 0) throw new Error(`${name} lost what was written to it.`);
    },
    async leftovers() {
      const found = await runSql<{ datname: string }>(
        adminUrl,
        `SELECT datname FROM pg_database WHERE datname LIKE 'forestay\\_%' AND pg_get_userbyid(datdba) = '${role}'`,
      );
      return found.map(({ datname }) => datname);
    },
    close,
    [Symbol.asyncDispose]: close,
  };

  async function close(): Promise<void> {
    const owned = `SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = '${role}'`;
    for (const { datname } of await runSql<{ datname: string }>(adminUrl, owned)) {
      await runSql(adminUrl, `DROP DATABASE IF EXISTS "${datname}" WITH (FORCE)`);
    }
    await runSql(adminUrl, `DROP OWNED BY ${role} CASCADE`).catch(() => {});
    // A session that was just ended may hold the role for a moment.
    for (let attempt = 1; ; attempt++) {
      try {
        await runSql(adminUrl, `DROP ROLE IF EXISTS ${role}`);
        return;
      } catch (error) {
        if (attempt === 20) throw error;
        await sleep(100);
      }
    }
  }
}
