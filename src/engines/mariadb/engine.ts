import type { Engine } from '../engine.ts';
import { backUp } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { translating } from './errors.ts';
import { assertCompatible } from './plan.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { withSession } from './session.ts';
import { settleRestore } from './settle.ts';
import { usualSilenceMs } from './silence.ts';
import { findTools, reportTools, usualFolders } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface MariadbEngineOptions {
  /** Folders with MariaDB client tools, besides the usual ones. */
  readonly toolDirs?: readonly string[];
  /** Instead of the usual ones. */
  readonly usualToolDirs?: readonly string[];
  /**
   * Milliseconds without a byte after which mariadb-dump is taken to hang, and without an answer after which a server that is
   * not at work is.
   */
  readonly stallMs?: number;
}

/**
 * MariaDB: backups are scripts of mariadb-dump; a restore builds the tables in a schema beside the database and exchanges them
 * with the old ones by RENAME TABLE. See docs/engines/mariadb.md.
 */
export function createMariadbEngine(options: MariadbEngineOptions = {}): Engine {
  const stallMs = options.stallMs ?? usualSilenceMs;
  // Patterns are for engines with several folders of one kind.
  const folders = [...(options.toolDirs ?? []), ...(options.usualToolDirs ?? usualFolders)].filter(
    (folder) => !folder.includes('*'),
  );
  return {
    name: 'mariadb',
    connectionSchema,
    // It is where there are no triggers, views, routines and events; what depends on the instance is not promised.
    restoreIsAtomic: false,
    notIncluded: [
      'Users, roles and their passwords, and everything else that belongs to the whole server (its configuration, other databases).',
      'Grants: those on the database and its tables stay what they are in the instance; those on single routines end with a restore.',
      'Digits of FLOAT columns beyond the sixth: mariadb-dump writes no more.',
      'Views that refer to something that is not there, and events whose time is past.',
      'Characters that Unicode does not have: mariadb-dump writes question marks for them.',
      'Values of stored generated columns that depend on the session that wrote them, such as HOUR(timestamp): they are computed anew, in UTC.',
      'The comment of the database.',
      'One moment for tables of engines without transactions (MyISAM, Aria and others).',
    ],
    tools: async (signal) => reportTools(await findTools(folders, signal)),
    parseConnection,
    probe: (connection, signal) => probe(readTarget(connection), folders, signal),
    backUp: (connection, signal) => backUp(readTarget(connection), { folders, stallMs }, signal),
    assertRestorable: (connection, source, signal) => {
      const target = readTarget(connection);
      return withSession(target, { signal }, async (session) => {
        await translating('The database does not answer as it should', () =>
          assertCompatible(session, target, source),
        );
      });
    },
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection), bytes, ticket, { stallMs }, signal),
    settleRestore: (connection, ticketId, signal) => settleRestore(readTarget(connection), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) => undoRestore(readTarget(connection), ticketId, signal),
      discard: (connection, ticketId, signal) => discardReplaced(readTarget(connection), ticketId, signal),
    },
  };
}
