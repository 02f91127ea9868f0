import type { Engine } from '../engine.ts';
import type { Limits } from '../roots.ts';
import { backUp } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { parseDetails } from './details.ts';
import { findRestorablePlace } from './place.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { settleRestore } from './settle.ts';
import { type Programs, reportTools, usualPrograms } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface FilesEngineOptions extends Limits {
  /** Instead of those that PATH finds. */
  readonly programs?: Partial<Programs>;
  /** After how many milliseconds without a byte a backup fails; 15 minutes by default. */
  readonly stallMs?: number;
}

/**
 * Folders, as archives of GNU tar: a restore unpacks a new folder beside the old one and exchanges the two. See
 * docs/engines/files.md.
 */
export function createFilesEngine(options: FilesEngineOptions): Engine {
  const tools = { ...usualPrograms, ...options.programs };
  const stallMs = options.stallMs ?? 15 * 60 * 1000;
  return {
    name: 'files',
    connectionSchema,
    // Only where perl and the file system can exchange two names in one step; `probe` warns where they cannot.
    restoreIsAtomic: false,
    notIncluded: [
      'Sockets: the programs that listen on them make them again. A folder with device nodes is refused.',
      'That two names are of one named pipe: each becomes a pipe of its own.',
      'Anything on other file systems that are mounted within the folder: such a folder is refused.',
      'File attributes that are not extended attributes (chattr +i and the like), and times of access.',
      'Staging of restores of folders within the folder (names that begin with .forestay-restore-).',
    ],
    tools: (signal) => reportTools(tools, signal),
    parseConnection: (input) => parseConnection(input, options),
    probe: (connection, signal) => probe(readTarget(connection, options), tools, signal),
    backUp: (connection, signal) => backUp(readTarget(connection, options), { tools, stallMs }, signal),
    assertRestorable: async (connection, source) => {
      await findRestorablePlace(readTarget(connection, options));
      parseDetails(source.details);
    },
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection, options), bytes, ticket, tools, signal),
    settleRestore: (connection, ticketId, signal) =>
      settleRestore(readTarget(connection, options), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) =>
        undoRestore(readTarget(connection, options), ticketId, tools, signal),
      discard: (connection, ticketId, signal) =>
        discardReplaced(readTarget(connection, options), ticketId, signal),
    },
  };
}
