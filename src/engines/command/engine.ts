import type { Engine } from '../engine.ts';
import { backUp } from './back-up.ts';
import { type Commands, readCommands } from './commands-file.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { assertCompatible } from './details.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { settleRestore } from './settle.ts';
import { reportTools } from './tools.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface CommandEngineOptions {
  /** JSON, as docs/engines/command.md describes it; no commands when undefined. */
  readonly file: string | undefined;
}

/**
 * Whatever two commands of an operator back up and restore. What they are is said in a file of the operator's; instances name
 * one of them and give it parameters. See docs/engines/command.md. Throws `Misconfigured` when the file is not right.
 */
export function createCommandEngine({ file }: CommandEngineOptions): Engine {
  const commands: Commands = file === undefined ? new Map() : readCommands(file);
  const all = [...commands.values()];
  return {
    name: 'command',
    connectionSchema,
    restoreIsAtomic: all.length > 0 && all.every((command) => command.restore_is_atomic),
    notIncluded: [
      'What the command of the instance leaves out; an operator knows.',
      ...all.flatMap(({ name, not_included }) => (not_included ?? []).map((what) => `${name}: ${what}`)),
    ],
    tools: (signal) => reportTools(all, signal),
    parseConnection: (input) => parseConnection(input, commands),
    probe: (connection, signal) => probe(readTarget(connection, commands), signal),
    backUp: (connection, signal) => backUp(readTarget(connection, commands), signal),
    assertRestorable: async (connection, source) =>
      assertCompatible(readTarget(connection, commands), source),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection, commands), bytes, ticket, signal),
    settleRestore: (connection, ticketId, signal) =>
      settleRestore(readTarget(connection, commands), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) => undoRestore(readTarget(connection, commands), ticketId, signal),
      discard: (connection, ticketId, signal) =>
        discardReplaced(readTarget(connection, commands), ticketId, signal),
    },
  };
}
