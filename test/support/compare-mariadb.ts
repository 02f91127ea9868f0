import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type MariadbAddress, quoteMariadb, runMariadb } from './mariadb-client.ts';

/** What a database holds, in a form that is equal when the databases are: compare with `toEqual`. */
export interface MariadbFingerprint {
  /** `mariadb-dump --no-data` with triggers, then `SHOW CREATE` of routines and events; one line an entry. */
  readonly definitions: readonly string[];
  /** Rows and `CHECKSUM TABLE … EXTENDED`, by table. */
  readonly tables: Readonly<Record<string, string>>;
  /** What `mariadb-check` finds; empty when all is well. */
  readonly problems: readonly string[];
}

/** All of it is read with programs and statements that are not ours, and the password in a file of options. */
export async function mariadbFingerprint(address: Required<MariadbAddress>): Promise<MariadbFingerprint> {
  const { database } = address;
  const rows = await runMariadb<{ name: string }>(
    address,
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE')
     ORDER BY TABLE_NAME`,
    [database],
  );
  const tables: Record<string, string> = {};
  for (const { name } of rows) {
    const [sum] = await runMariadb<{ Checksum: unknown }>(
      address,
      `CHECKSUM TABLE ${quoteMariadb(name)} EXTENDED`,
    );
    const [count] = await runMariadb<{ n: number }>(
      address,
      `SELECT COUNT(*) AS n FROM ${quoteMariadb(name)}`,
    );
    tables[name] = `${count?.n} rows, ${sum?.Checksum}`;
  }
  const definitions = await runClient(address, 'mariadb-dump', [
    '--no-data',
    '--triggers',
    '--skip-comments',
    '--databases',
    '--',
    database,
  ]);
  const checked =
    rows.length === 0
      ? []
      : await runClient(address, 'mariadb-check', ['--silent', '--check', '--databases', '--', database]);
  // A table that is renamed is written anew into its triggers, with the quotes of their sql_mode.
  const alike = definitions.map((line) =>
    line.replace(/ ON "([^"`]*)" FOR EACH ROW/, ' ON `$1` FOR EACH ROW'),
  );
  return { definitions: [...alike, ...(await programsOf(address))], tables, problems: checked };
}

/** mariadb-dump never ends with events that hold two semicolons, and finds no database that has a backtick in its name. */
async function programsOf(address: Required<MariadbAddress>): Promise<string[]> {
  const rows = await runMariadb<{ kind: string; name: string }>(
    address,
    `SELECT ROUTINE_TYPE AS kind, ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?
     UNION ALL SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 1, 2`,
    [address.database, address.database],
  );
  const lines: string[] = [];
  for (const { kind, name } of rows) {
    const [row] = await runMariadb(address, `SHOW CREATE ${kind} ${quoteMariadb(name)}`);
    lines.push(JSON.stringify(row));
  }
  return lines;
}

/** Runs a client program of MariaDB; resolves with the lines it wrote. */
export async function runClient(
  { host, port, user, password }: MariadbAddress,
  program: string,
  args: readonly string[],
): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mariadb-client-'));
  try {
    const quoted = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
    const file = join(folder, 'options.cnf');
    await writeFile(
      file,
      `[client]\nhost=${host}\nport=${port}\nprotocol=tcp\nuser=${quoted(user)}\npassword=${quoted(password)}\ndefault-character-set=utf8mb4\n`,
      { mode: 0o600 },
    );
    const { stdout } = await promisify(execFile)(program, [`--defaults-file=${file}`, ...args], {
      maxBuffer: 256 * 1024 * 1024,
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
    });
    return stdout.split('\n').filter((line) => line !== '');
  } finally {
    await rm(folder, { recursive: true });
  }
}
