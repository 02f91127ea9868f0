import type { Engine } from '../engine.ts';
import type { Limits } from '../roots.ts';
import { backUp } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { findDatabase } from './place.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { settleRestore } from './settle.ts';
import type { Shell } from './shell.ts';
import { reportTools } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface SqliteEngineOptions extends Limits {
  /** `sqlite3`, which PATH finds, and a minute unless something else is said. */
  readonly shell?: Partial<Shell>;
  /** After how many milliseconds without a byte a backup fails; half an hour by default. */
  readonly stallMs?: number;
}

/** Database files of SQLite, while programs use them. See docs/engines/sqlite.md. */
export function createSqliteEngine(options: SqliteEngineOptions): Engine {
  const { stallMs = 30 * 60 * 1000 } = options;
  const shell: Shell = { program: 'sqlite3', lockMs: 60_000, ...options.shell };
  return {
    name: 'sqlite',
    connectionSchema,
    restoreIsAtomic: true,
    notIncluded: [
      'Other databases that programs attach to this one, and files that its rows name.',
      'Whether there is a write-ahead log: that stays as it is in the instance.',
      'Owner and mode of the file, which stay, too.',
    ],
    tools: (signal) => reportTools(shell, signal),
    parseConnection: (input) => parseConnection(input, options),
    probe: (connection, signal) => probe(readTarget(connection, options), shell, signal),
    backUp: (connection, signal) => backUp(readTarget(connection, options), { shell, stallMs }, signal),
    // Its file format has been the same since 2004; what an older version cannot read, the check of a restore finds.
    assertRestorable: async (connection) => void (await findDatabase(readTarget(connection, options))),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection, options), bytes, ticket, shell, signal),
    settleRestore: (connection, ticketId, signal) =>
      settleRestore(readTarget(connection, options), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) =>
        undoRestore(readTarget(connection, options), ticketId, shell, signal),
      discard: (connection, ticketId, signal) =>
        discardReplaced(readTarget(connection, options), ticketId, signal),
    },
  };
}
