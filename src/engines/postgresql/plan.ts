import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import { type Details, parseDetails } from './details.ts';
import { type Place, readPlace, reasonForInPlace } from './place.ts';
import type { Session } from './session.ts';
import { settingsForTools } from './tool-settings.ts';
import { majorOf, type Toolset, toolsToRestore } from './tools.ts';

/** How a restore will be done, decided before anything is touched. */
export interface Plan {
  readonly place: Place;
  readonly details: Details;
  readonly tools: Toolset;
  readonly inPlace: boolean;
  /** Nothing in the archive can fail because of a role. */
  readonly direct: boolean;
  readonly roles: ReadonlySet<string>;
  /** Further arguments of pg_restore. */
  readonly args: readonly string[];
  /** Of the server, for the sessions of the tools. */
  readonly settings: Readonly<Record<string, string>>;
  /** What is known to be lost, a sentence each. */
  readonly notKept: readonly string[];
}

/** Looks at the destination through a session in it. Throws what would make the restore fail in the end. */
export async function planRestore(
  session: Session,
  source: RestoreTicket['source'],
  toolsets: readonly Toolset[],
  canReachMaintenance: boolean,
): Promise<Plan> {
  const { details, place, onlyHere, otherVersions } = await assertCompatible(session, source);
  const tools = toolsToRestore(toolsets, majorOf(place.serverVersion), majorOf(details.toolVersion));
  await refuseSubscriptions(session);
  const inPlace = reasonForInPlace(place) !== undefined || !canReachMaintenance || onlyHere.length > 0;

  const roles = new Set(
    (await session.query<{ rolname: string }>('SELECT rolname FROM pg_roles')).map(({ rolname }) => rolname),
  );
  const mentioned = [...details.owners, ...details.grantees];
  const rolesAreFine = place.isSuperuser
    ? mentioned.every((role) => roles.has(role))
    : mentioned.every((role) => role === place.role);
  // A newer pg_restore begins with a setting that older servers do not know; the guard leaves it out.
  const speaksTooNew = tools.major >= 17 && place.versionNumber < 170000;
  const { args, notKept } = await tablespaces(session, details);
  return {
    place,
    details,
    tools,
    inPlace,
    direct: !inPlace && rolesAreFine && roles.has(details.bootstrapRole) && !speaksTooNew,
    roles,
    args,
    settings: { ...(await settingsForTools(session)), ...settingsFor(details, place) },
    notKept: [
      ...notKept,
      ...otherVersions,
      ...(await otherLocale(session, details)),
      ...(await slots(session)),
    ],
  };
}

function settingsFor(
  { moneyLocale, superuserOnly }: Details,
  { isSuperuser }: Place,
): Record<string, string> {
  return {
    ...(moneyLocale === undefined ? {} : { lc_monetary: moneyLocale }),
    // An event trigger must not stop what comes after it in the archive. They are only restored by a superuser.
    ...(isSuperuser && superuserOnly.some((thing) => thing.startsWith('event trigger '))
      ? { session_replication_role: 'replica' }
      : {}),
  };
}

/** Whether the destination can take the backup at all, whatever tools this machine has. */
export async function assertCompatible(
  session: Session,
  source: RestoreTicket['source'],
): Promise<Compatible> {
  const details = parseDetails(source.details);
  const place = await readPlace(session);
  const [from, to] = [majorOf(details.serverVersion), majorOf(place.serverVersion)];
  if (from > to) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of PostgreSQL ${from}, the server has the older version ${to}.`,
      {
        hint: `Restore it into an instance with PostgreSQL ${from} or newer.`,
      },
    );
  }
  refuseSuperuserOnly(details, place);
  const { missing, onlyHere, otherVersions } = await readExtensions(session, details, place);
  refuseMissing(missing);
  await refuseUnknownMoney(session, details);
  return { details, place, onlyHere, otherVersions };
}

interface Compatible {
  readonly details: Details;
  readonly place: Place;
  /** Extensions that the role could not create, and that are there. */
  readonly onlyHere: readonly string[];
  /** Extensions that will have another version than in the backup, a sentence each. */
  readonly otherVersions: readonly string[];
}

/** Read in another locale than they were written in, amounts of money are others, or none. */
async function refuseUnknownMoney(session: Session, { moneyLocale }: Details): Promise<void> {
  if (moneyLocale === undefined) return;
  try {
    await session.query("SELECT set_config('lc_monetary', $1, true)", [moneyLocale]);
  } catch (error) {
    if ((error as { code?: unknown }).code !== '22023') throw error;
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup has columns of type money, written in the locale ${moneyLocale}, which the server does not know.`,
      {
        hint: 'Install the locale on the machine of the server (locale-gen), restart the server, then try again.',
      },
    );
  }
}

function refuseSuperuserOnly(details: Details, place: Place): void {
  if (place.isSuperuser || details.superuserOnly.length === 0) return;
  throw new ForestayError(
    'IncompatibleBackup',
    `The backup holds what only a superuser can create, and a restore without it would not be the same: ${details.superuserOnly.slice(0, 10).join(', ')}.`,
    { hint: 'Restore with a role that has superuser.' },
  );
}

/** A subscription would go on filling the replaced database, and keep it from ever being dropped. */
async function refuseSubscriptions(session: Session): Promise<void> {
  const rows = await session.query<{ subname: string }>(
    'SELECT subname FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())',
  );
  if (rows.length === 0) return;
  throw new ForestayError(
    'InstanceRefused',
    `The database subscribes to logical replication (${rows.map(({ subname }) => subname).join(', ')}), and backups hold no subscriptions.`,
    { hint: 'Drop the subscriptions, restore, then create them again.' },
  );
}

/** Which extensions the role can not create in a new database, and which of those are in the present one. */
async function readExtensions(
  session: Session,
  details: Details,
  place: Place,
): Promise<{ missing: string[]; onlyHere: string[]; otherVersions: string[] }> {
  const rows = await session.query<{
    name: string;
    available: boolean;
    installed: boolean;
    was: string;
    version: string | null;
    restricted: boolean;
  }>(
    `SELECT n.name, a.name IS NOT NULL AS available, e.extname IS NOT NULL AS installed, n.was,
            a.default_version AS version,
            coalesce(v.superuser AND NOT coalesce((to_jsonb(v) ->> 'trusted')::boolean, false), false) AS restricted
     FROM unnest($1::text[], $2::text[]) AS n(name, was)
       LEFT JOIN pg_available_extensions a ON a.name = n.name
       LEFT JOIN pg_available_extension_versions v ON v.name = n.name AND v.version = a.default_version
       LEFT JOIN pg_extension e ON e.extname = n.name
     WHERE n.name <> 'plpgsql'`,
    [details.extensions.map(({ name }) => name), details.extensions.map(({ version }) => version)],
  );
  const creatable = (row: (typeof rows)[number]) => row.available && (place.isSuperuser || !row.restricted);
  const problems = rows.filter((row) => !creatable(row));
  return {
    missing: problems
      .filter((row) => !row.installed)
      .map((row) => (row.available ? `${row.name} (only for superusers)` : row.name)),
    onlyHere: problems.filter((row) => row.installed).map(({ name }) => name),
    otherVersions: rows
      .filter((row) => creatable(row) && row.version !== row.was)
      .map(
        ({ name, was, version }) =>
          `The extension ${name} has version ${version} now; in the backup it had ${was}.`,
      ),
  };
}

function refuseMissing(missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw new ForestayError(
    'IncompatibleBackup',
    `The server cannot give the extensions of the backup: ${missing.join(', ')}.`,
    {
      hint: 'Install their packages on the server; those only for superusers must be created in the database by one (CREATE EXTENSION) before the restore.',
    },
  );
}

/** Of the database that a restore builds anew: that of the one it replaces. */
async function otherLocale(session: Session, details: Details): Promise<string[]> {
  const [here] = await session.query<{ encoding: string; collate: string; ctype: string }>(
    `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
     FROM pg_database WHERE datname = current_database()`,
  );
  return (['encoding', 'collate', 'ctype'] as const)
    .filter((key) => here !== undefined && here[key] !== details[key])
    .map(
      (key) =>
        `The database keeps its ${words[key]}, ${here?.[key]}; the backup is of one with ${details[key]}.`,
    );
}

const words = { encoding: 'encoding', collate: 'order of sorting', ctype: 'classes of characters' } as const;

/** Where one of them is not there for this role, everything goes to the tablespace of the database. */
async function tablespaces(
  session: Session,
  details: Details,
): Promise<{ args: string[]; notKept: string[] }> {
  const rows = await session.query<{ name: string }>(
    `SELECT n.name FROM unnest($1::text[]) AS n(name) LEFT JOIN pg_tablespace t ON t.spcname = n.name
     WHERE t.oid IS NULL OR NOT has_tablespace_privilege(t.oid, 'CREATE')`,
    [details.tablespaces],
  );
  if (rows.length === 0) return { args: [], notKept: [] };
  const names = rows.map(({ name }) => name).join(', ');
  return {
    args: ['--no-tablespaces'],
    notKept: [
      `Tablespaces (${names}) are missing or closed to this role: all tables and indexes are in that of the database.`,
    ],
  };
}

async function slots(session: Session): Promise<string[]> {
  const rows = await session.query<{ name: string }>(
    'SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()',
  );
  return rows.map(
    ({ name }) => `The logical replication slot ${name} still belongs to the replaced data; make a new one.`,
  );
}
