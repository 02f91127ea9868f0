import type { Session } from './session.ts';

/** What the destination of a restore is like, and what the connecting role may do there. */
export interface Place {
  readonly database: string;
  readonly oid: string;
  /** `15.18` */
  readonly serverVersion: string;
  /** `150018` */
  readonly versionNumber: number;
  readonly role: string;
  readonly isSuperuser: boolean;
  readonly mayCreateDatabases: boolean;
  /** The role is the owner of the database, or acts with its rights. */
  readonly ownsDatabase: boolean;
}

/** Reads the place of the session's own database. */
export async function readPlace(session: Session): Promise<Place> {
  const [place] = await session.query<Place & { serverVersion: string }>(
    `SELECT d.datname AS database, d.oid::text AS oid,
            current_setting('server_version') AS "serverVersion",
            current_setting('server_version_num')::int AS "versionNumber",
            current_user::text AS role, r.rolsuper AS "isSuperuser", r.rolcreatedb AS "mayCreateDatabases",
            pg_has_role(d.datdba, 'USAGE') AS "ownsDatabase"
     FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`,
  );
  if (!place) throw new Error('pg_database or pg_roles does not list the session');
  return { ...place, serverVersion: place.serverVersion.split(' ')[0] ?? place.serverVersion };
}

/** Why nothing can be built beside the database, as the beginning of a sentence; undefined when it can. */
export function reasonForInPlace(place: Place): string | undefined {
  if (place.isSuperuser) return undefined;
  if (!place.mayCreateDatabases) return 'The role may not create databases (CREATEDB)';
  if (!place.ownsDatabase) return 'The role does not own the database';
  return undefined;
}
