import type { Engine } from '../engine.ts';
import { backUp, sessionName } from './back-up.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { translating } from './errors.ts';
import { planRestore } from './plan.ts';
import { probe } from './probe.ts';
import { restore } from './restore.ts';
import { withSession } from './session.ts';
import { settleRestore } from './settle.ts';
import { discardReplaced, undoRestore } from './undo.ts';

export interface RedisEngineOptions {
  /** After how many milliseconds without a byte from the server a backup or restore fails; 5 minutes by default. */
  readonly stallMs?: number;
  /** Bytes of a value from which on a restore does not hold it as a whole. Smaller ones than the default are for tests. */
  readonly splitFrom?: number;
}

/**
 * Redis and Valkey, a whole server with all its databases: a backup is the RDB that a replica would get; a restore builds new
 * databases beside the old ones and exchanges them in one transaction. See docs/engines/redis.md.
 */
export function createRedisEngine(options: RedisEngineOptions = {}): Engine {
  const stallMs = options.stallMs ?? 5 * 60 * 1000;
  return {
    name: 'redis',
    connectionSchema,
    restoreIsAtomic: true,
    notIncluded: [
      'The configuration of the server, and its ACL users and their passwords.',
      'Data of modules that belongs to no key (indexes of a search module, for example).',
      'Scripts that were loaded with SCRIPT LOAD, messages of PUBLISH, and the replication history.',
      'Replaced data that is kept for the undo of a restore.',
    ],
    // Forestay speaks the protocol itself.
    tools: async () => [],
    parseConnection,
    probe: (connection, signal) => probe(readTarget(connection), signal),
    backUp: (connection, signal) => backUp(readTarget(connection), { stallMs }, signal),
    assertRestorable: (connection, source, signal) =>
      withSession(readTarget(connection), { signal, name: sessionName }, async (session) => {
        await translating('The server does not answer as it should', () => planRestore(session, source));
      }),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection), bytes, ticket, { ...options, stallMs }, signal),
    settleRestore: (connection, ticketId, signal) => settleRestore(readTarget(connection), ticketId, signal),
    undo: {
      undo: (connection, ticketId, signal) => undoRestore(readTarget(connection), ticketId, signal),
      discard: (connection, ticketId, signal) => discardReplaced(readTarget(connection), ticketId, signal),
    },
  };
}
