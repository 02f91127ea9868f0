import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../core/errors.ts';
import { abortError, onAbort } from '../../pipeline/abort.ts';
import { runSink, runTool } from '../../pipeline/child-process.ts';
import type { RestoreReport, RestoreTicket } from '../engine.ts';
import { replaceFolder } from '../folder-restore.ts';
import type { Place } from '../roots.ts';
import { guardArchive } from './archive-guard.ts';
import type { Target } from './connection.ts';
import { type Details, parseDetails } from './details.ts';
import { translateError } from './errors.ts';
import { notKeptBy, type Ownership, planOwnership } from './ownership.ts';
import { findRestorablePlace } from './place.ts';
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
  const ownership = planOwnership(details);
  const unpacked = await replaceFolder(
    { place, ticket, perl: tools.perl, signal },
    { fill: (folder) => unpack(work, folder, ownership), check: (folder, done) => check(work, folder, done) },
  );
  return {
    method: 'staged',
    switchMs: null,
    undoable: true,
    notKept: [
      ...notKeptBy(ownership),
      ...details.changes.map(asChange),
      ...details.warnings,
      ...(unpacked?.warnings ?? []),
    ],
  };
}

interface Unpacked {
  /** How many files and folders the archive holds. */
  readonly members: number;
  /** What tar says it could not keep, a sentence each. */
  readonly warnings: readonly string[];
}

async function unpack(work: Work, folder: string, ownership: Ownership): Promise<Unpacked> {
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
  if (!ownership.keep) await dropRights(folder, work);
  await disk.finish();
  return { members: guard.members(), warnings };
}

/**
 * A program that ran with the rights of its owner would run with the worker's now, who may start it whoever wrote it. Nobody
 * else can reach what is staged, so there is no moment at which they could.
 */
async function dropRights(folder: string, { tools, signal }: Work): Promise<void> {
  const each = ['-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'ug-s', '{}', '+'];
  await runTool(tools.find, [folder, ...each], { signal });
}

async function check({ tools, signal }: Work, folder: string, unpacked: Unpacked): Promise<void> {
  const { members } = await walk(folder, { find: tools.find, signal });
  if (members === unpacked.members) return;
  throw new ForestayError(
    'ToolFailed',
    `tar reported success, but made ${members} of ${unpacked.members} files and folders.`,
    { hint: 'Check GNU tar and the file system on the machine of the worker. Nothing was changed.' },
  );
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
