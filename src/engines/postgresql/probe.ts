import type { Probe } from '../engine.ts';
import type { Target } from './connection.ts';
import { translating } from './errors.ts';
import { applicationName } from './names.ts';
import { readPlace, reasonForInPlace } from './place.ts';
import { readUnqualifiedFunctions } from './search-path.ts';
import { withSession } from './session.ts';
import { findToolsets, majorOf, toolsToDump } from './tools.ts';

/** Connects, and says what will not work with this connection. */
export async function probe(target: Target, folders: readonly string[], signal: AbortSignal): Promise<Probe> {
  return withSession(target, { signal, applicationName }, (session) =>
    translating('The database does not answer as it should', async () => {
      const place = await readPlace(session);
      toolsToDump(await findToolsets(folders, signal), majorOf(place.serverVersion));
      const [{ hidden, triggers } = { hidden: 0, triggers: 0 }] = await session.query<{
        hidden: number;
        triggers: number;
      }>(
        `SELECT (SELECT count(*)::int FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity AND row_security_active(oid)) AS hidden,
                (SELECT count(*)::int FROM pg_event_trigger) AS triggers`,
      );
      const warnings: string[] = [];
      const reason = reasonForInPlace(place);
      if (reason) {
        warnings.push(
          `${reason}: restores happen in place, in one transaction that locks the database, and cannot be undone. Give the role CREATEDB and the ownership of the database.`,
        );
      }
      if (hidden > 0) {
        warnings.push(
          `Row-level security hides rows of ${hidden} tables from this role, so backups will fail. Give it BYPASSRLS.`,
        );
      }
      const functions = await readUnqualifiedFunctions(session);
      if (functions.length > 0) {
        warnings.push(
          `Functions name things without their schema, so backups will fail, since their restores would: ${functions.slice(0, 5).join(', ')}. ALTER FUNCTION … SET search_path = …`,
        );
      }
      if (triggers > 0 && !place.isSuperuser) {
        warnings.push('The database has event triggers, which only a role with superuser can restore.');
      }
      return { engineVersion: place.serverVersion, warnings };
    }),
  );
}
