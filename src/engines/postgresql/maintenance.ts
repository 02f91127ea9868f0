import { ForestayError, hasCode } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { openSession, type Session, withSession } from './session.ts';

/** Databases that are tried to connect to, beyond `postgres` and `template1`. */
const maxOthers = 5;

/**
 * A session in some other database of the same server, from where the target's own can be renamed. Throws
 * `InstanceRefused` when the role can connect to no other one.
 */
export async function openMaintenance(
  target: Target,
  options: { readonly signal: AbortSignal; readonly applicationName: string },
): Promise<Session> {
  let refusal: unknown;
  const tried = new Set([target.database]);
  const tryThese = async (names: readonly string[]): Promise<Session | undefined> => {
    for (const database of names) {
      if (tried.has(database)) continue;
      tried.add(database);
      try {
        return await openSession(target, { ...options, database });
      } catch (error) {
        if (!hasCode(error, 'InstanceRefused')) throw error;
        refusal = error;
      }
    }
    return undefined;
  };
  const session =
    (await tryThese(['postgres', 'template1'])) ?? (await tryThese(await otherDatabases(target, options)));
  if (session) return session;
  throw new ForestayError('InstanceRefused', 'The role can connect to no database beside its own.', {
    hint: 'Let it connect to the database "postgres" (GRANT CONNECT, pg_hba.conf): from there databases are switched.',
    cause: refusal,
  });
}

async function otherDatabases(
  target: Target,
  options: { readonly signal: AbortSignal; readonly applicationName: string },
): Promise<string[]> {
  const list = async (session: Session) => {
    const rows = await session.query<{ datname: string }>(
      `SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege(oid, 'CONNECT')
       AND datname !~ '^forestay_' ORDER BY datname LIMIT ${maxOthers}`,
    );
    return rows.map(({ datname }) => datname);
  };
  try {
    return await withSession(target, options, list);
  } catch (error) {
    // Where its own database is not there (any more), the refusals of the others say enough.
    if (hasCode(error, 'InstanceRefused')) return [];
    throw error;
  }
}

/** Whether there is one. */
export async function hasMaintenance(
  target: Target,
  options: { readonly signal: AbortSignal; readonly applicationName: string },
): Promise<boolean> {
  try {
    await (await openMaintenance(target, options)).close();
    return true;
  } catch (error) {
    if (hasCode(error, 'InstanceRefused')) return false;
    throw error;
  }
}

/** Drops a database with everybody in it; does nothing where it is not there. */
export async function dropDatabase(session: Session, name: string): Promise<void> {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  const [server] = await session.query<{ number: number; exists: boolean; isTemplate: boolean }>(
    `SELECT current_setting('server_version_num')::int AS number,
            EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate) AS "isTemplate",
            EXISTS (SELECT FROM pg_database WHERE datname = $1) AS exists`,
    [name],
  );
  if (!server?.exists) return;
  // A template cannot be dropped.
  if (server.isTemplate) await session.query(`ALTER DATABASE ${quoted} IS_TEMPLATE false`);
  if (server.number >= 130000) {
    await session.query(`DROP DATABASE IF EXISTS ${quoted} WITH (FORCE)`);
    return;
  }
  await session.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  await session.query(`DROP DATABASE IF EXISTS ${quoted}`);
}
