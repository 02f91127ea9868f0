import type { Target } from './connection.ts';
import { dropDatabase } from './maintenance.ts';
import { applicationName, keptName, stagingPrefix, undoneName } from './names.ts';
import { type Session, withSession } from './session.ts';

/** How long emptying may take, in milliseconds; beyond that the drop has to do without. */
const emptyMs = 10_000;
/** How many of the largest tables are dropped one by one. */
const largest = 100;

/**
 * Drops a database that holds nothing but what a restore staged. Its largest tables go first, each by itself: dropping a database
 * begins with a checkpoint, which fails where the disk is full, and then leaves a database that can only be dropped; what a
 * dropped table took is free at once.
 */
export async function dropStaging(session: Session, target: Target, name: string): Promise<void> {
  await empty(target, name).catch(() => {
    // It was only to make room: whether the database can be dropped shows when it is.
  });
  await dropDatabase(session, name);
}

async function empty(target: Target, database: string): Promise<void> {
  const signal = AbortSignal.timeout(emptyMs);
  await withSession(target, { signal, applicationName, database }, async (session) => {
    await session.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    );
    await session.query("SET lock_timeout = '4s'");
    const tables = await session.query<{ statement: string }>(
      `SELECT format('DROP %s IF EXISTS %s CASCADE', CASE relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, oid::regclass) AS statement
       FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384 ORDER BY pg_total_relation_size(oid) DESC LIMIT ${largest}`,
    );
    for (const { statement } of tables) {
      await session.query(statement).catch((error: unknown) => {
        if (signal.aborted) throw error;
      });
    }
  });
}

/** Databases of one restore that are there, by what they are. */
export interface RestoreDatabases {
  readonly kept: boolean;
  readonly undone: boolean;
  readonly staging: readonly string[];
}

/**
 * Names prove nothing: everybody sees those of all databases, and who may create databases may take one of them, to make a restore
 * look as if it had switched. But nobody can give a database to an owner whose rights they do not have; so one that belongs to
 * neither the owner of the instance's database nor the connecting role is somebody else's, and is left alone.
 */
export async function findRestoreDatabases(
  session: Session,
  target: Target,
  ticketId: string,
): Promise<RestoreDatabases> {
  const [kept, undone] = [keptName(ticketId), undoneName(ticketId)];
  const rows = await session.query<{ datname: string }>(
    `SELECT datname FROM pg_database WHERE (starts_with(datname::text, $1) OR datname IN ($2, $3)) AND datdba IN (
       SELECT datdba FROM pg_database WHERE datname = $4 UNION SELECT oid FROM pg_roles WHERE rolname = current_user)`,
    [stagingPrefix(ticketId), kept, undone, target.database],
  );
  const names = rows.map(({ datname }) => datname);
  return {
    kept: names.includes(kept),
    undone: names.includes(undone),
    staging: names.filter((name) => name !== kept && name !== undone),
  };
}
