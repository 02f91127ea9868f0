import { createWriteStream } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError } from '../../pipeline/abort.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import type { Place } from '../roots.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { exchange } from './exchange.ts';
import { assertWhole } from './header.ts';
import { attemptFiles } from './names.ts';
import { findDatabase } from './place.ts';
import { prepareStaged } from './prepare-staged.ts';
import type { Shell } from './shell.ts';
import { requireSqlite } from './tools.ts';

/**
 * Writes a file beside the database, checks it, and copies it over the database in one transaction of SQLite's own. The file is
 * not renamed over the other: programs that have that one open would go on with it, and put its journal beside the new one.
 */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  shell: Shell,
  signal: AbortSignal,
): Promise<RestoreReport> {
  try {
    ticket.onPhase('preparing');
    await requireSqlite(shell, signal);
    const place = await findDatabase(target);
    return await stageAndSwitch({ place, bytes, ticket, shell, signal });
  } catch (error) {
    if (signal.aborted) throw abortError(signal);
    throw translateError(error, 'The restore failed');
  } finally {
    bytes.destroy();
  }
}

interface Work {
  readonly place: Place;
  readonly bytes: Readable;
  readonly ticket: RestoreTicket;
  readonly shell: Shell;
  readonly signal: AbortSignal;
}

async function stageAndSwitch({ place, bytes, ticket, shell, signal }: Work): Promise<RestoreReport> {
  const files = attemptFiles(place, ticket.id, ticket.attempt);
  const { staged, kept } = files;
  let isStaged = false;
  let notKept: string[] = [];
  try {
    ticket.onPhase('transferring');
    const file = createWriteStream(staged, { flags: 'wx', mode: 0o600 });
    await pipeline(bytes, file, { signal });
    isStaged = true;
    ticket.onPhase('verifying');
    await assertWhole(staged);
    notKept = await prepareStaged(staged, place.path, shell, signal);
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    if (signal.aborted) throw abortError(signal);
    await exchange(place, files, ticket.id, shell, signal);
  } catch (error) {
    // Whatever failed then failed too late.
    if (!(await exists(kept))) {
      const isTaken = isStaged && !(await exists(staged)) && mayComeFromThat(error);
      throw isTaken ? superseded() : error;
    }
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) await rm(`${staged}${suffix}`, { force: true });
  }
  return { method: 'staged', switchMs: null, undoable: true, notKept };
}

/** Another attempt takes away what was staged. What the bytes or `beforeSwitch` threw has another reason. */
function mayComeFromThat(error: unknown): boolean {
  return !(error instanceof ForestayError) || error.code === 'ToolFailed';
}

function superseded(): ForestayError {
  return new ForestayError(
    'AttemptSuperseded',
    'What this attempt had staged is gone: another one has taken over.',
  );
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
