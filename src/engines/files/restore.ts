import { rename } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError, onAbort } from '../../pipeline/abort.ts';
import { runSink } from '../../pipeline/child-process.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import type { Place } from '../roots.ts';
import { guardArchive } from './archive-guard.ts';
import type { Target } from './connection.ts';
import { createContainer, markStaged, syncFolder } from './container.ts';
import { type Details, parseDetails } from './details.ts';
import { translateError } from './errors.ts';
import { dataIn, keptContainer, stagingContainer } from './names.ts';
import { notKeptBy, type Ownership, planOwnership } from './ownership.ts';
import { findRestorablePlace } from './place.ts';
import { settleContainer } from './settle.ts';
import { swap } from './swap.ts';
import { type Programs, requireTar } from './tools.ts';
import { walk } from './walk.ts';
import { writeBack } from './write-back.ts';

/** Unpacks into a new folder beside the instance's, checks it, and exchanges the two; see docs/engines/files.md. */
export async function restore(
  target: Target,
  bytes: Readable,
  ticket: RestoreTicket,
  tools: Programs,
  signal: AbortSignal,
): Promise<RestoreReport> {
  try {
    ticket.onPhase('preparing');
    await requireTar(tools, signal);
    const details = parseDetails(ticket.source.details);
    const place = await findRestorablePlace(target);
    return await stageAndSwitch({ place, bytes, ticket, details, tools, signal });
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
  readonly details: Details;
  readonly tools: Programs;
  readonly signal: AbortSignal;
}

async function stageAndSwitch(work: Work): Promise<RestoreReport> {
  const { place, ticket, details, tools, signal } = work;
  const container = stagingContainer(place, ticket.id, ticket.attempt);
  await createContainer(container);
  const ownership = planOwnership(details);
  let warnings: string[];
  try {
    ticket.onPhase('transferring');
    warnings = await unpack(work, dataIn(container), ownership);
    await markStaged(container);
    ticket.onPhase('switching');
    await ticket.beforeSwitch();
    if (signal.aborted) throw abortError(signal);
    await swap(container, place, tools.perl);
    await rename(container, keptContainer(place, ticket.id));
    await syncFolder(place.parent);
  } catch (error) {
    // What cannot be cleaned up now `settleRestore` finds by its name.
    const left = await settleContainer(container, place, ticket.id, AbortSignal.timeout(cleanUpMs)).catch(
      () => 'clean',
    );
    if (left !== 'switched') throw error;
    warnings = [];
  }
  return {
    method: 'staged',
    switchMs: null,
    undoable: true,
    notKept: [...notKeptBy(ownership), ...details.changes.map(asChange), ...details.warnings, ...warnings],
  };
}

/** Cleaning up goes on after an abort, but not for ever. */
const cleanUpMs = 30_000;

/** Resolves with what tar says it could not keep, a sentence each, when all is checked and on the disk. */
async function unpack(work: Work, folder: string, ownership: Ownership): Promise<string[]> {
  const { bytes, tools } = work;
  const warnings: string[] = [];
  const giveUp = new AbortController();
  const release = onAbort(work.signal, (reason) => giveUp.abort(reason));
  const { input } = runSink(tools.tar, extractArgs(folder, ownership), {
    signal: giveUp.signal,
    unreadInput: 'discard',
    onStderrLine: (line) => {
      if (/No space left on device|Disk quota exceeded/.test(line)) giveUp.abort(noRoom(line));
      else if (warnings.length < 20) warnings.push(line.replace(/^tar: /, '').slice(0, 600));
    },
  });
  const guard = guardArchive();
  const disk = writeBack(folder, work.signal, (error) => giveUp.abort(error));
  try {
    await pipeline(bytes, guard.stage, disk.stage, input, { signal: giveUp.signal });
  } catch (error) {
    throw giveUp.signal.aborted ? abortError(giveUp.signal) : error;
  } finally {
    await disk.settled();
    release();
  }
  work.ticket.onPhase('verifying');
  const { members } = await walk(folder, { find: tools.find, signal: work.signal });
  if (members !== guard.members()) {
    throw new ForestayError(
      'ToolFailed',
      `tar reported success, but made ${members} of ${guard.members()} files and folders.`,
      { hint: 'Check GNU tar and the file system on the machine of the worker. Nothing was changed.' },
    );
  }
  // Whatever happens to the machine after the switch, what became visible is on the disk.
  await disk.finish();
  return warnings;
}

function extractArgs(folder: string, ownership: Ownership): string[] {
  return [
    '--extract',
    '--file=-',
    '--preserve-permissions',
    '--numeric-owner',
    ownership.keep ? '--same-owner' : '--no-same-owner',
    '--delay-directory-restore',
    '--acls',
    '--xattrs',
    '--xattrs-include=*',
    '--warning=no-timestamp',
    `--directory=${folder}`,
  ];
}

function noRoom(line: string): ForestayError {
  return new ForestayError(
    'InstanceFull',
    `There is no room for the restored folder: ${line.slice(0, 300)}`,
    {
      hint: 'Make room on the file system of the folder: a restore needs space for the restored data beside the present data. Nothing was changed.',
    },
  );
}

function asChange(sentence: string): string {
  return `When the backup was made: ${sentence}`;
}
