import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import {
  findServerBinaries,
  type PostgresServer,
  startPostgresServer,
} from '../test/support/postgres-server.ts';

/** What every measurement works with: a server and a folder of its own, which are gone when it is disposed of. */
export interface Bench extends AsyncDisposable {
  /** Aborts on Ctrl-C; whatever takes long obeys it. */
  readonly signal: AbortSignal;
  readonly folder: string;
  readonly server: PostgresServer;
  /** Where pg_dump and pg_restore are, of the server's own version. */
  readonly binDir: string;
  /** Runs SQL as a superuser, in the database `postgres` or another. */
  sql<Row extends pg.QueryResultRow>(text: string, database?: string): Promise<Row[]>;
  /** Tells whoever waits what goes on, on stderr. */
  say(text: string): void;
}

/**
 * As a server is set up that has work to do, and so that measurements differ by what is measured: no checkpoint and no
 * autovacuum falls into one run and not into the other. Durability (fsync, full_page_writes, synchronous_commit) is on.
 */
export const serverSettings = {
  shared_buffers: '512MB',
  maintenance_work_mem: '256MB',
  max_wal_size: '6GB',
  checkpoint_timeout: '30min',
  autovacuum: 'off',
};

export async function openBench(signal: AbortSignal): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const binDir = findServerBinaries();
  if (!binDir) throw new Error('No PostgreSQL found. Install it with: apt-get install postgresql');
  const folder = await mkdtemp(join(tmpdir(), 'forestay-bench-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const server = await startPostgresServer({ settings: serverSettings });
  stack.defer(() => server.stop());
  signal.throwIfAborted();
  const owned = stack.move();
  return {
    signal,
    folder,
    server,
    binDir,
    sql: (text, database = 'postgres') => query(urlOf(server, database), text, signal),
    say: (text) => process.stderr.write(`${text}\n`),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The superuser's URL of a database. */
export function urlOf(server: PostgresServer, database: string): string {
  const url = new URL(server.adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

/** Before a timed run: what earlier ones left to be written is written. */
export async function settle(bench: Bench): Promise<void> {
  await bench.sql('CHECKPOINT');
}

async function query<Row extends pg.QueryResultRow>(
  connectionString: string,
  text: string,
  signal: AbortSignal,
): Promise<Row[]> {
  signal.throwIfAborted();
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  await client.connect();
  // A client that is broken off makes its query fail, and the server end it.
  const abort = () => void client.end();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    signal.removeEventListener('abort', abort);
    await client.end();
  }
}
