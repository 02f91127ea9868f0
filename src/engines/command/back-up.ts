import { Transform } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { spawnSource } from '../../pipeline/child-process.ts';
import { joinStreams } from '../../pipeline/join-streams.ts';
import { stallWatchdog } from '../../pipeline/stall-watchdog.ts';
import type { BackupSource } from '../engine.ts';
import type { Target } from './connection.ts';
import { readVersion } from './probe.ts';
import { deadlineFor, environmentOf, translateExit } from './run.ts';

const defaultStallSeconds = 15 * 60;

/** What the backup command writes to stdout, if it exits 0 in time and wrote anything at all. */
export async function backUp(target: Target, signal: AbortSignal): Promise<BackupSource> {
  const { command } = target;
  const version = await readVersion(target, signal);
  const deadline = deadlineFor(target, 'backup', signal);
  const [program = '', ...args] = command.backup;
  const source = spawnSource(program, args, {
    env: environmentOf(target, 'backup'),
    cwd: command.folder,
    signal: deadline.signal,
  });
  const stallSeconds = command.stall_seconds ?? defaultStallSeconds;
  const stalled = () =>
    new ForestayError(
      'ToolFailed',
      `The backup command of ${command.name} wrote nothing for ${stallSeconds} s.`,
      {
        hint: 'Check the instance; an operator may raise stall_seconds of the command.',
      },
    );
  const stream = joinStreams(
    source,
    [stallWatchdog(stallSeconds * 1000, stalled), refuseNothing(command.name)],
    {
      signal: deadline.signal,
      translate: (error) => translateExit(error, target, 'backup'),
    },
  );
  stream.once('close', deadline.release);
  return {
    stream,
    tool: { name: command.name, version },
    engineVersion: version,
    mediaType: command.media_type,
    suffix: command.suffix,
    compressed: command.compressed ?? false,
    details: { command: command.name },
  };
}

/** A pipeline of a careless script exits 0 although its first program failed; then it usually wrote nothing. */
function refuseNothing(name: string): Transform {
  let size = 0;
  return new Transform({
    transform(bytes: Buffer, _encoding, callback) {
      size += bytes.length;
      callback(null, bytes);
    },
    flush(callback) {
      if (size > 0) return callback();
      const message = `The backup command of ${name} exited with code 0, but wrote nothing.`;
      callback(
        new ForestayError('ToolFailed', message, { hint: 'A script needs "set -e", and "set -o pipefail".' }),
      );
    },
  });
}
