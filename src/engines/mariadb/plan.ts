import { ForestayError } from '../../core/errors.ts';
import type { RestoreTicket } from '../engine.ts';
import type { Target } from './connection.ts';
import { type Details, describeCounts, parseDetails } from './details.ts';
import { missingRights, type Place, readPlace, restoreRights, stagingGrant } from './place.ts';
import type { Session } from './session.ts';
import { compareVersions, seriesOf } from './tools.ts';

/** How a restore will be done, decided before anything is touched. */
export interface Plan {
  readonly place: Place;
  readonly details: Details;
  /** What is known to be lost, a sentence each. */
  readonly notKept: readonly string[];
}

/** Looks at the destination. Throws what would make the restore fail in the end. */
export async function planRestore(
  session: Session,
  target: Target,
  source: RestoreTicket['source'],
  staging: string,
): Promise<Plan> {
  const { place, details } = await assertCompatible(session, target, source);
  refuseMissing(place, target.database, staging);
  await refuseReferences(session, target.database);
  const mixed = describeCounts(details.notTransactional);
  return {
    place,
    details,
    notKept:
      mixed === ''
        ? []
        : [`Tables of engines without transactions (${mixed}) may be of other moments than the rest.`],
  };
}

/** Whether the destination can take the backup at all, whatever the user may do there. */
export async function assertCompatible(
  session: Session,
  target: Target,
  source: RestoreTicket['source'],
): Promise<{ details: Details; place: Place }> {
  const details = parseDetails(source.details);
  const place = await readPlace(session, target);
  if (details.flavor !== place.flavor) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of ${details.flavor}, the server is ${place.flavor}: they are not the same any more.`,
      { hint: `Restore it into an instance with ${details.flavor}.` },
    );
  }
  const [from, to] = [seriesOf(details.serverVersion), seriesOf(place.version)];
  if (compareVersions(from, to) > 0) {
    throw new ForestayError(
      'IncompatibleBackup',
      `The backup is of ${details.flavor} ${from}, the server has the older version ${to}.`,
      { hint: `Restore it into an instance with ${details.flavor} ${from} or newer.` },
    );
  }
  return { details, place };
}

function refuseMissing(place: Place, database: string, staging: string): void {
  const missing = missingRights(place, database, restoreRights);
  const beside = missingRights(place, staging, restoreRights);
  if (missing.length === 0 && beside.length === 0) return;
  if (missing.length > 0) {
    throw new ForestayError(
      'InstanceRefused',
      `The user lacks rights on the database that a restore needs: ${missing.join(', ')}.`,
      { hint: 'Give the user all privileges on the database. Nothing was changed.' },
    );
  }
  throw new ForestayError(
    'InstanceRefused',
    'The user may not build anything beside the database, so that a restore could not be undone if it failed.',
    { hint: `Let it build schemas for restores: ${stagingGrant(place)}. Nothing was changed.` },
  );
}

/** They would follow the old tables. */
async function refuseReferences(session: Session, database: string): Promise<void> {
  const rows = await session.query<{ name: string }>(
    `SELECT DISTINCT CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME) AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
     WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND CONSTRAINT_SCHEMA <> ? LIMIT 5`,
    [database, database],
  );
  if (rows.length === 0) return;
  throw new ForestayError(
    'InstanceRefused',
    `Tables of other databases refer to this one by foreign keys: ${rows.map(({ name }) => name).join(', ')}.`,
    { hint: 'Drop these foreign keys, restore, then make them again. Nothing was changed.' },
  );
}
