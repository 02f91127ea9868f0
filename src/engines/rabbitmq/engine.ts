import type { Engine } from '../engine.ts';
import { type ApiLimits, openApi, usualLimits } from './api.ts';
import { backUp } from './back-up.ts';
import { examineBroker } from './broker.ts';
import { connectionSchema, parseConnection, readTarget } from './connection.ts';
import { assertCompatible } from './details.ts';
import { planRestore } from './plan-restore.ts';
import { probe } from './probe.ts';
import { type SettleLimits, usualSettling } from './read.ts';
import { restore } from './restore.ts';
import { settleRestore } from './settle.ts';
import { discardReplaced, undoRestore } from './undo.ts';

/**
 * RabbitMQ by its management API: backups are the definitions of a broker or of one vhost, without messages; a restore makes
 * the broker's definitions equal to those, or puts back what was there. See docs/engines/rabbitmq.md.
 */
export function createRabbitmqEngine(options: Partial<ApiLimits & SettleLimits> = {}): Engine {
  const limits = { ...usualLimits, ...usualSettling, ...options };
  return {
    name: 'rabbitmq',
    connectionSchema,
    restoreIsAtomic: false,
    restoresInPlace: true,
    notIncluded: [
      'Messages: a backup holds what RabbitMQ calls definitions. A restore deletes no queue that holds messages; it says which it left.',
      'Queues and exchanges that are auto-delete and not durable, exclusive queues, and queues that the broker named (amq.gen-…): they live as long as their clients, who declare them again.',
      'With the field vhost: users and permissions, which belong to the broker.',
      'The configuration of nodes, enabled plugins, feature flags, the Erlang cookie, and the identity of the cluster (internal_cluster_id).',
    ],
    // The management API is all it takes.
    tools: async () => [],
    parseConnection,
    probe: (connection, signal) => probe(readTarget(connection), limits, signal),
    backUp: (connection, signal) => backUp(readTarget(connection), limits, signal),
    assertRestorable: async (connection, source, signal) => {
      const target = readTarget(connection);
      using api = openApi(target, { limits, signal });
      await assertCompatible(api, await examineBroker(api, target.vhost), target, source);
    },
    planRestore: (connection, bytes, source, signal) =>
      planRestore(readTarget(connection), bytes, source, limits, signal),
    restore: (connection, bytes, ticket, signal) =>
      restore(readTarget(connection), bytes, ticket, limits, signal),
    settleRestore: (connection, ticketId, signal) =>
      settleRestore(readTarget(connection), ticketId, limits, signal),
    undo: {
      undo: (connection, ticketId, signal) => undoRestore(readTarget(connection), ticketId, limits, signal),
      discard: (connection, ticketId, signal) =>
        discardReplaced(readTarget(connection), ticketId, limits, signal),
    },
  };
}
