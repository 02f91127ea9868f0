import type { Engine } from '../engine.ts';
import { backUp } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { translating } from './errors.ts';
import { applicationName } from './names.ts';
import { assertCompatible } from './plan.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { withSession } from './session.ts';
import { settleRestore } from './settle.ts';
import { findToolsets, reportTools, usualFolders } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface PostgresqlEngineOptions {
  /** Folders with PostgreSQL client tools, besides the usual ones; `*` in one stands for any name. */
  readonly toolDirs?: readonly string[];
  /** Instead of the usual ones. */
  readonly usualToolDirs?: readonly string[];
  /** Milliseconds without a sign of life after which client tools are given up; more than they wait for a lock. Default: 15 minutes. */
  readonly stallMs?: number;
}

/**
 * PostgreSQL by its own client tools: backups are pg_dump archives; a restore builds a new database beside the old one and
 * exchanges their names in one transaction. See docs/engines/postgresql.md.
 */
export function createPostgresqlEngine(options: PostgresqlEngineOptions = {}): Engine {
  const folders = [...(options.toolDirs ?? []), ...(options.usualToolDirs ?? usualFolders)];
  const stallMs = options.stallMs ?? 15 * 60 * 1000;
  return {
    name: 'postgresql',
    connectionSchema,
    restoreIsAtomic: true,
    notIncluded: [
      'Roles and their passwords, and everything else that belongs to the whole server (its configuration, tablespaces, other databases).',
      'Grants, settings, comment and connection limit of the database itself: a restore keeps those of the database it replaces.',
      'Subscriptions and slots of logical replication.',
      'The rows of foreign tables, and passwords of user mappings that the connecting role may not see.',
      'The rows of unlogged tables, where the server is a standby.',
      'What was changed about extensions: their owners, their functions, rows of their tables that they do not mark for dumps; a restore takes the version the server has now.',
      'Indexes that are not valid (left by CREATE INDEX CONCURRENTLY that failed).',
      'Statistics of the planner: the server collects them again after a restore.',
    ],
    tools: async (signal) => reportTools(await findToolsets(folders, signal)),
    parseConnection,
    probe: (connection, signal) => probe(readTarget(connection), folders, signal),
    backUp: (connection, signal) => backUp(readTarget(connection), { folders, stallMs }, signal),
    assertRestorable: (connection, source, signal) =>
      withSession(readTarget(connection), { signal, applicationName }, async (session) => {
        await translating('The database does not answer as it should', () =>
          assertCompatible(session, source),
        );
      }),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection), bytes, ticket, { folders, stallMs }, signal),
    settleRestore: (connection, ticketId, signal) => settleRestore(readTarget(connection), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) => undoRestore(readTarget(connection), ticketId, signal),
      discard: (connection, ticketId, signal) => discardReplaced(readTarget(connection), ticketId, signal),
    },
  };
}
