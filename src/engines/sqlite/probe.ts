import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { Probe } from '../engine.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { findDatabase } from './place.ts';
import { runSqlite, type Shell } from './shell.ts';
import { requireSqlite } from './tools.ts';

/** Opens the database, and says what will not work with it. */
export async function probe(target: Target, shell: Shell, signal: AbortSignal): Promise<Probe> {
  try {
    const engineVersion = await requireSqlite(shell, signal);
    const place = await findDatabase(target);
    const commands = ['SELECT NULL FROM sqlite_schema LIMIT 0', 'PRAGMA journal_mode'];
    const journal = await runSqlite(shell, place.path, commands, signal);
    const warnings: string[] = [];
    if (journal !== 'wal') {
      warnings.push(
        'The database has no write-ahead log, so programs that write wait while it is copied for a backup. PRAGMA journal_mode = wal would spare them.',
      );
    }
    const { R_OK, W_OK } = constants;
    await Promise.all([access(place.path, R_OK | W_OK), access(place.parent, W_OK)]).catch(() => {
      warnings.push(
        'The worker may not write to the file or to its folder, so backups and restores will fail. Give it the right.',
      );
    });
    return { engineVersion, warnings };
  } catch (error) {
    throw translateError(error, 'The database cannot be opened');
  }
}
