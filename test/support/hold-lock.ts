import pg from 'pg';
import { clientConfig } from './postgres-client.ts';

/**
 * Runs a statement that locks something, in a transaction that stays open until it is disposed and then changes nothing:
 * whoever needs what it locks waits. That makes the moments of a backup or restore long enough to do something in them.
 */
export async function holdLock(url: string, statement: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ ...clientConfig(url), application_name: 'lock' });
  // The server may be shut down under it.
  client.on('error', () => {});
  await client.connect();
  await client.query(`BEGIN; ${statement}`);
  return { [Symbol.asyncDispose]: () => client.end().catch(() => {}) };
}

/** Within a sample database: its backups wait, as soon as pg_dump looks at the table. */
export const lockSampleTable = 'LOCK TABLE sample IN ACCESS EXCLUSIVE MODE';

/** From another database: restores of this one wait when they switch, and nobody else waits for anything. */
export const lockName = (database: string) => `COMMENT ON DATABASE "${database}" IS 'held'`;
