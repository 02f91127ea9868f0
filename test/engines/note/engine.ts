import { createWriteStream } from 'node:fs';
import { access, link, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../../src/core/errors.ts';
import type { BackupSource, Engine, RestoreReport, RestoreTicket } from '../../../src/engines/engine.ts';
import { abortError } from '../../../src/pipeline/abort.ts';
import { runSink, runTool, spawnSource } from '../../../src/pipeline/child-process.ts';
import { connectionSchema, readTarget, type Target } from './connection.ts';

/** One file, by gzip. See docs/adding-an-engine.md: this is its example. */
export function createNoteEngine(): Engine {
  return {
    name: 'note',
    connectionSchema,
    restoreIsAtomic: true,
    notIncluded: ['Owner and mode of the file.'],
    tools: async (signal) => {
      const version = await gzipVersion(signal).catch(() => undefined);
      const found = version === undefined ? [] : [{ version, path: 'gzip' }];
      return [{ tool: 'gzip', found, hint: 'Install gzip.' }];
    },
    parseConnection: readTarget,
    probe: async (connection, signal) => {
      await requireFile(readTarget(connection));
      return { engineVersion: await gzipVersion(signal), warnings: [] };
    },
    backUp: (connection, signal) => backUp(readTarget(connection), signal),
    assertRestorable: (connection) => requireFile(readTarget(connection)),
    restore: (connection, bytes, ticket, signal) => restore(readTarget(connection), bytes, ticket, signal),
    settleRestore: async (connection, ticketId) => {
      const { file } = readTarget(connection);
      const folder = path.dirname(file);
      const staged = `${path.basename(file)}.${ticketId}.staged-`;
      // Without its staging no attempt can switch, however late it wakes up.
      for (const name of await readdir(folder))
        if (name.startsWith(staged)) await rm(path.join(folder, name));
      return (await isThere(kept(file, ticketId))) ? 'switched' : 'clean';
    },
    undo: {
      undo: async (connection, ticketId) => {
        const { file } = readTarget(connection);
        if (!(await isThere(kept(file, ticketId)))) {
          throw new ForestayError('UndoUnavailable', 'What the restore replaced is not kept any more.');
        }
        await rename(kept(file, ticketId), file);
      },
      discard: (connection, ticketId) => rm(kept(readTarget(connection).file, ticketId), { force: true }),
    },
  };
}

async function backUp({ file }: Target, signal: AbortSignal): Promise<BackupSource> {
  await requireFile({ file });
  const version = await gzipVersion(signal);
  return {
    stream: spawnSource('gzip', ['--stdout', '--fast', file], { signal }),
    tool: { name: 'gzip', version },
    engineVersion: version,
    mediaType: 'application/gzip',
    suffix: '.gz',
    compressed: true,
    details: {},
  };
}

async function restore(
  { file }: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  signal: AbortSignal,
): Promise<RestoreReport> {
  const staged = `${file}.${ticket.id}.staged-${ticket.attempt}`;
  try {
    ticket.onPhase('preparing');
    await requireFile({ file });
    ticket.onPhase('transferring');
    const { input, output } = runSink('gzip', ['--decompress', '--stdout'], {
      signal,
      captureOutput: 'pipe',
    });
    const staging = createWriteStream(staged, { flags: 'wx', mode: 0o600, flush: true });
    // Both end before anything is removed, and what failed first is what is thrown.
    const results = await Promise.allSettled([pipeline(bytes, input), pipeline(output as Readable, staging)]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    await link(file, kept(file, ticket.id));
    await rename(staged, file);
    return { method: 'staged', switchMs: null, undoable: true, notKept: [] };
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    throw error;
  } finally {
    bytes.destroy();
    await rm(staged, { force: true });
  }
}

const kept = (file: string, ticketId: string) => `${file}.${ticketId}.before`;

async function requireFile({ file }: Target): Promise<void> {
  if (await isThere(file)) return;
  throw new ForestayError('InstanceUnreachable', 'The file is not there.', {
    hint: 'Make it, or correct the path.',
  });
}

function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

async function gzipVersion(signal: AbortSignal): Promise<string> {
  const { stdout } = await runTool('gzip', ['--version'], { signal, timeoutMs: 10_000 });
  return /\d+(\.\d+)+/.exec(stdout)?.[0] ?? '0';
}
