import { ForestayError } from '../../core/errors.ts';
import type { Probe } from '../engine.ts';
import { refuseWhatIsNotKept } from './cannot-keep.ts';
import type { Target } from './connection.ts';
import { countNotTransactional, describeCounts, readTables } from './details.ts';
import { translating } from './errors.ts';
import { stagingName } from './names.ts';
import { backupRights, missingRights, readPlace, restoreRights, stagingGrant } from './place.ts';
import { withSession } from './session.ts';
import { findTools, toolToDump } from './tools.ts';

const anyTicket = '00000000-0000-4000-8000-000000000000';

/** Connects, and says what will not work with this connection. */
export async function probe(target: Target, folders: readonly string[], signal: AbortSignal): Promise<Probe> {
  return withSession(target, { signal }, (session) =>
    translating('The database does not answer as it should', async () => {
      const place = await readPlace(session, target);
      toolToDump(await findTools(folders, signal), place);
      const warnings: string[] = [];
      const hidden = missingRights(place, target.database, backupRights);
      if (hidden.length > 0)
        warnings.push(
          `Backups will fail: the user lacks on the database ${hidden.join(', ')}. Give it these rights.`,
        );
      await refuseWhatIsNotKept(session, target, place, await readTables(session, target.database)).catch(
        (error: unknown) => {
          if (!(error instanceof ForestayError)) throw error;
          warnings.push(`Backups will fail: ${error.message} ${error.hint ?? ''}`.trim());
        },
      );
      const missing = missingRights(place, target.database, restoreRights);
      if (missing.length > 0)
        warnings.push(
          `Restores will fail: the user lacks on the database ${missing.join(', ')}. Give it all privileges there.`,
        );
      if (missingRights(place, stagingName(anyTicket, 1), restoreRights).length > 0)
        warnings.push(
          `Restores will fail: the user may not build anything beside the database. Let it: ${stagingGrant(place)}`,
        );
      const counts = describeCounts(await countNotTransactional(session, target.database));
      if (counts !== '')
        warnings.push(
          `Tables of engines without transactions (${counts}) are backed up as they are when their turn comes, not at one moment with the rest. Change them to InnoDB.`,
        );
      const [floats] = await session.query<{ count: number }>(
        "SELECT COUNT(*) AS count FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND DATA_TYPE = 'float'",
        [target.database],
      );
      if (Number(floats?.count) > 0)
        warnings.push(
          'Columns of type FLOAT are written by mariadb-dump with six digits; what a number has beyond these is lost. Change them to DOUBLE.',
        );
      return { engineVersion: place.version, warnings };
    }),
  );
}
