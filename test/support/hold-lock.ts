import pg from 'pg';
import { clientConfig } from './postgres-client.ts';

/**
 * Takes a lock in a transaction that stays open until it is disposed: whoever needs what it locks waits. That makes the
 * moments of a backup or restore long enough to do something in them.
 */
export async function holdLock(url: string, target: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ ...clientConfig(url), application_name: 'lock' });
  // The server may be shut down under it.
  client.on('error', () => {});
  await client.connect();
  await client.query(`BEGIN; LOCK TABLE ${target}`);
  return { [Symbol.asyncDispose]: () => client.end().catch(() => {}) };
}

/** Backups of a sample database wait for this, as soon as pg_dump looks at its table. */
export const sampleTable = 'sample IN ACCESS EXCLUSIVE MODE';
/** Restores wait for this, before they make their staging database and before they switch. Locks the whole server. */
export const allDatabases = 'pg_database IN SHARE MODE';
