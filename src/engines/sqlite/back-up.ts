import { ForestayError } from '../../core/errors.ts';
import { spawnSource } from '../../pipeline/child-process.ts';
import { joinStreams } from '../../pipeline/join-streams.ts';
import { stallWatchdog } from '../../pipeline/stall-watchdog.ts';
import type { BackupSource } from '../engine.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { wholeOnly } from './header.ts';
import { copyFile } from './names.ts';
import { findDatabase } from './place.ts';
import { commandLine, quoted, type Shell } from './shell.ts';
import { requireSqlite } from './tools.ts';

export interface BackUpOptions {
  readonly shell: Shell;
  /** After how many milliseconds without a byte a backup fails; the copy is made before the first. */
  readonly stallMs: number;
}

/**
 * The database file, as SQLite's online backup copies it within one read transaction: the moment at which it begins. The copy
 * lies beside the database until it is whole, then it is read without having a name any more.
 */
export async function backUp(
  target: Target,
  { shell, stallMs }: BackUpOptions,
  signal: AbortSignal,
): Promise<BackupSource> {
  try {
    const version = await requireSqlite(shell, signal);
    const place = await findDatabase(target);
    const copy = copyFile(place);
    const source = spawnSource(
      '/bin/sh',
      ['-c', copyScript, 'sh', place.parent, copy, ...copyCommand(shell, place.path, copy)],
      // Its arguments say it too, but not in a form that people read.
      { signal, env: { FORESTAY_SQLITE_DATABASE: place.path } },
    );
    return {
      stream: joinStreams(source, [stallWatchdog(stallMs, stalled), wholeOnly()], {
        signal,
        translate: (error) => translateError(error, 'The backup failed'),
      }),
      tool: { name: 'sqlite3', version },
      engineVersion: version,
      mediaType: 'application/vnd.sqlite3',
      suffix: '.sqlite',
      compressed: false,
      details: {},
    };
  } catch (error) {
    throw translateError(error, 'The backup failed');
  }
}

/** Without the transaction every write of another program would begin the copy anew. */
function copyCommand(shell: Shell, database: string, copy: string): string[] {
  return commandLine(shell, database, [
    'BEGIN',
    'SELECT NULL FROM sqlite_schema LIMIT 1',
    `.backup --async ${quoted(copy)}`,
    'COMMIT',
  ]);
}

/**
 * A shell, because it goes on when the worker is killed: then it finds nobody who reads, and has removed the copy already.
 * Only when it is killed itself does a copy remain; the first backup a day later removes that.
 */
const copyScript = `set -eu
folder=$1 copy=$2
shift 2
umask 077
find "$folder" -maxdepth 1 -type f -name '.forestay-copy-*.sqlite' -mmin +1440 -delete || :
trap 'rm -f "$copy"' EXIT
trap 'exit 143' TERM
"$@" > /dev/null
exec 3< "$copy"
rm -f "$copy"
cat <&3`;

function stalled(): ForestayError {
  return new ForestayError('InstanceUnreachable', 'The database could not be copied in time.', {
    hint: 'Check that the file system of the database answers, and that no program holds a lock on it.',
  });
}
