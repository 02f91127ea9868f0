import { createReadStream, existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { Type } from 'typebox';
import { ForestayError } from '../../src/core/errors.ts';
import type { Connection } from '../../src/core/instance.ts';
import type { BackupSource, Engine, RestoreTicket } from '../../src/engines/engine.ts';

/**
 * An engine whose instance is one file: small and quick, with the same staging, switch and undo as a real one, and with
 * places where a test can make it wait or fail.
 */
export interface FakeEngine extends Engine {
  readonly faults: {
    /** Awaited when a backup starts; what it returns takes the place of the file's bytes. */
    onBackUp?: ((signal: AbortSignal) => Promise<Readable | undefined>) | undefined;
    /** Awaited when everything is staged, before `beforeSwitch`. */
    onStaged?: ((ticket: RestoreTicket, signal: AbortSignal) => Promise<void>) | undefined;
    /** Awaited right after the switch; throwing is a connection lost just then. */
    onSwitched?: (() => Promise<void>) | undefined;
    onUndo?: (() => Promise<void>) | undefined;
    onAssertRestorable?: (() => Promise<void>) | undefined;
  };
}

export function createFakeEngine(name = 'fake'): FakeEngine {
  const faults: FakeEngine['faults'] = {};
  const file = (connection: Connection) => String(connection.file);
  const staged = (connection: Connection, ticketId: string, attempt: number) =>
    `${file(connection)}.${ticketId}.${attempt}`;
  const kept = (connection: Connection, ticketId: string) => `${file(connection)}.${ticketId}.kept`;
  return {
    name,
    faults,
    connectionSchema: Type.Object({ file: Type.String(), password: Type.Optional(Type.String()) }),
    restoreIsAtomic: true,
    notIncluded: ['everything but one file'],
    tools: async () => [{ tool: 'cat', found: [{ version: '1', path: '/bin/cat' }] }],
    parseConnection(input) {
      const { file } = (input ?? {}) as { file?: unknown };
      if (typeof file !== 'string') throw new ForestayError('BadRequest', 'connection.file must be text.');
      return input as Connection;
    },
    async probe(connection) {
      if (!existsSync(file(connection))) {
        throw new ForestayError('InstanceUnreachable', `There is no file ${file(connection)}.`, {
          hint: 'Make it.',
        });
      }
      return { engineVersion: '1.0', warnings: [] };
    },
    async backUp(connection, signal): Promise<BackupSource> {
      const replaced = await faults.onBackUp?.(signal);
      return {
        stream: replaced ?? createReadStream(file(connection), { signal }),
        tool: { name: 'cat', version: '1' },
        engineVersion: '1.0',
        mediaType: 'application/octet-stream',
        suffix: '.bin',
        compressed: false,
        details: {},
      };
    },
    async assertRestorable() {
      await faults.onAssertRestorable?.();
    },
    async restore(connection, bytes, ticket, signal) {
      const stage = staged(connection, ticket.id, ticket.attempt);
      try {
        await writeFile(stage, await buffer(bytes), { signal });
        await faults.onStaged?.(ticket, signal);
        ticket.onPhase('switching');
        await ticket.beforeSwitch();
        const previous = await readFile(file(connection));
        await writeFile(kept(connection, ticket.id), previous);
        await rename(stage, file(connection));
      } finally {
        await rm(stage, { force: true });
      }
      await faults.onSwitched?.();
      return { method: 'staged', switchMs: 1, undoable: true, notKept: [] };
    },
    async settleRestore(connection, ticketId) {
      for (let attempt = 1; attempt <= 5; attempt++)
        await rm(staged(connection, ticketId, attempt), { force: true });
      return existsSync(kept(connection, ticketId)) ? 'switched' : 'clean';
    },
    undo: {
      async undo(connection, ticketId) {
        await faults.onUndo?.();
        if (!existsSync(kept(connection, ticketId))) {
          throw new ForestayError('UndoUnavailable', 'The replaced file is gone.');
        }
        await rename(kept(connection, ticketId), file(connection));
      },
      discard: (connection, ticketId) => rm(kept(connection, ticketId), { force: true }),
    },
  };
}
