import type { Engine } from '../engine.ts';
import type { Limits } from '../roots.ts';
import { backUp } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { findDatabase } from './place.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { settleRestore } from './settle.ts';
import { reportTools } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface SqliteEngineOptions extends Limits {
  /** Instead of the sqlite3 that PATH finds. */
  readonly program?: string;
  /** After how many milliseconds without a byte a backup fails; half an hour by default. */
  readonly stallMs?: number;
}

/** Database files of SQLite, while programs use them. See docs/engines/sqlite.md. */
export function createSqliteEngine(options: SqliteEngineOptions): Engine {
  const { program = 'sqlite3', stallMs = 30 * 60 * 1000 } = options;
  return {
    name: 'sqlite',
    connectionSchema,
    restoreIsAtomic: true,
    notIncluded: [
      'Other databases that programs attach to this one, and files that its rows name.',
      'Whether there is a write-ahead log: that stays as it is in the instance.',
      'Owner and mode of the file, which stay, too.',
    ],
    tools: (signal) => reportTools(program, signal),
    parseConnection: (input) => parseConnection(input, options),
    probe: (connection, signal) => probe(readTarget(connection, options), program, signal),
    backUp: (connection, signal) => backUp(readTarget(connection, options), { program, stallMs }, signal),
    // Its file format has been the same since 2004; what an older version cannot read, the check of a restore finds.
    assertRestorable: async (connection) => void (await findDatabase(readTarget(connection, options))),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection, options), bytes, ticket, program, signal),
    settleRestore: (connection, ticketId, signal) =>
      settleRestore(readTarget(connection, options), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) =>
        undoRestore(readTarget(connection, options), ticketId, program, signal),
      discard: (connection, ticketId, signal) =>
        discardReplaced(readTarget(connection, options), ticketId, signal),
    },
  };
}
