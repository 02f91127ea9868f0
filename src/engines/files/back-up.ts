import { ForestayError } from '../../core/errors.ts';
import { checkAtEnd } from '../../pipeline/check-at-end.ts';
import { spawnSource } from '../../pipeline/child-process.ts';
import { joinStreams } from '../../pipeline/join-streams.ts';
import { stallWatchdog } from '../../pipeline/stall-watchdog.ts';
import type { BackupSource } from '../engine.ts';
import { restorePrefix } from '../folder-names.ts';
import { guardArchive, longestPath } from './archive-guard.ts';
import type { Target } from './connection.ts';
import type { Details } from './details.ts';
import { changing, translateError } from './errors.ts';
import { findFolder } from './place.ts';
import { type Programs, requireTar } from './tools.ts';
import { type Walk, walk } from './walk.ts';

export interface BackUpOptions {
  readonly tools: Programs;
  readonly stallMs: number;
}

/**
 * One folder as a tar archive. Nothing holds a folder still, so the folder is looked over before and after: the stream
 * fails with `InstanceBusy` when anything in it changed in between, or says so in its details where the connection wants that.
 */
export async function backUp(
  target: Target,
  options: BackUpOptions,
  signal: AbortSignal,
): Promise<BackupSource> {
  const { tools, stallMs } = options;
  const version = await requireTar(tools, signal);
  const place = await findFolder(target);
  const tolerant = target.changes === 'report';
  const look = (stop: AbortSignal) =>
    walk(place.path, { find: tools.find, signal: stop, tolerant }).catch((error: unknown) => {
      throw translateError(error, 'The folder cannot be read');
    });
  const before = await look(signal);
  if (before.device !== undefined) {
    throw new ForestayError('InstanceRefused', `The folder holds a device node, ${before.device}.`, {
      hint: 'Device nodes are not backed up, because restoring one gives away the device. Remove it or register another folder.',
    });
  }
  if (before.tooLong !== undefined) {
    throw new ForestayError(
      'InstanceRefused',
      `The folder holds a path too long to be restored: ${before.tooLong} …`,
      {
        hint: `Paths within the folder may have ${longestPath} bytes. Shorten it, or register a folder further down.`,
      },
    );
  }
  const changes: string[] = [];
  const warnings: string[] = [];
  const details: Details = {
    path: place.path,
    toolVersion: version,
    uids: [...before.uids],
    gids: [...before.gids],
    changes,
    warnings,
  };
  const source = spawnSource(tools.tar, createArgs(place.path), {
    signal,
    ...(tolerant ? { acceptedExitCodes: [1] } : {}),
    onStderrLine: (line) => {
      const change = changePattern.test(line);
      if (change && !tolerant) source.destroy(changed(spoken(line)));
      else if (change) note(changes, spoken(line));
      else if (!harmless.test(line)) note(warnings, spoken(line));
    },
  });
  const stalled = () =>
    new ForestayError(
      'InstanceUnreachable',
      `No byte could be read from the folder for ${stallMs / 1000} s.`,
      {
        hint: 'Check that its file system (a network file system, perhaps) answers.',
      },
    );
  const guard = guardArchive();
  const compare = checkAtEnd(async (stop) => {
    const after = await look(AbortSignal.any([signal, stop]));
    if (after.digest === before.digest) return assertWhole(guard.members(), after.members);
    const what = describeChange(before, after);
    if (!tolerant) throw changed(what);
    note(changes, what);
  });
  return {
    stream: joinStreams(source, [stallWatchdog(stallMs, stalled), guard.stage, compare], {
      signal,
      translate: (error) => translateError(asRefusal(error), 'The backup failed'),
    }),
    tool: { name: 'tar', version },
    engineVersion: version,
    mediaType: 'application/x-tar',
    suffix: '.tar',
    compressed: false,
    details,
  };
}

function createArgs(folder: string): string[] {
  return [
    '--create',
    '--file=-',
    '--format=posix',
    '--pax-option=delete=atime,delete=ctime',
    '--blocking-factor=128',
    '--sparse',
    '--numeric-owner',
    '--acls',
    '--xattrs',
    '--xattrs-include=*',
    `--exclude=${restorePrefix}*`,
    `--directory=${folder}`,
    '.',
  ];
}

const changePattern =
  /: (file changed as we read it|File removed before we read it|File shrank by|Cannot \S+: No such file)/;
const harmless = /: socket ignored$|: file is unchanged; not dumped$|^tar: Exiting with failure status/;
const noted = 20;

/** Keeps the first ones, and says that there were more. */
function note(list: string[], sentence: string): void {
  if (list.length < noted) list.push(sentence);
  else if (list.length === noted) list.push('… and more');
}

function spoken(line: string): string {
  return line
    .replace(/^tar: /, '')
    .trim()
    .slice(0, 600);
}

function changed(what: string): ForestayError {
  return new ForestayError('InstanceBusy', `The folder changed while it was backed up: ${what}`, {
    hint: changing.hint,
  });
}

/** A backup is not done before what reads it at a restore has read it, too: what it refuses then it refuses now. */
function asRefusal(error: Error): Error {
  if (!(error instanceof ForestayError) || error.code !== 'IncompatibleBackup') return error;
  return new ForestayError(
    'InstanceRefused',
    `The folder cannot be restored from an archive. ${error.message}`,
    {
      hint: 'Take what the message names out of the folder, or register another one.',
    },
  );
}

/** tar may leave something out and be content with itself. */
function assertWhole(archived: number, seen: number): void {
  if (archived === seen) return;
  throw new ForestayError(
    'ToolFailed',
    `tar reported success, but wrote ${archived} of ${seen} files and folders.`,
    { hint: 'Check GNU tar on the machine of the worker.' },
  );
}

function describeChange(before: Walk, after: Walk): string {
  const counts = after.members - before.members;
  const { path, at } = after.newest ?? { path: '.', at: '0' };
  const when = new Date(Number(at) * 1000).toISOString();
  const number = counts === 0 ? '' : ` (${Math.abs(counts)} ${counts > 0 ? 'more' : 'fewer'} than before)`;
  return `files may be of different moments${number}; the last change was to ${path} at ${when}`;
}
