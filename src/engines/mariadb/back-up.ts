import { type Readable, Transform } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { spawnSource } from '../../pipeline/child-process.ts';
import { joinStreams } from '../../pipeline/join-streams.ts';
import { stallWatchdog } from '../../pipeline/stall-watchdog.ts';
import type { BackupSource } from '../engine.ts';
import { refuseWhatIsNotKept } from './cannot-keep.ts';
import type { Target } from './connection.ts';
import { countNotTransactional, type Details, detailsOf, readTables, type Table } from './details.ts';
import { openToolEnvironment, type ToolEnvironment } from './environment.ts';
import { translateError, translating } from './errors.ts';
import { backupRights, missingRights, type Place, readPlace } from './place.ts';
import { writePrograms } from './program-script.ts';
import { type Program, readPrograms } from './programs.ts';
import { type Session, withSession } from './session.ts';
import { compareVersions, type DumpTool, findTools, seriesOf, toolToDump } from './tools.ts';

export interface BackUpOptions {
  readonly folders: readonly string[];
  /** Milliseconds without a byte after which mariadb-dump, and without an answer after which the server, is taken to hang. */
  readonly stallMs: number;
}

/** The script of mariadb-dump, of one moment of all tables that know transactions, and after it the programs. */
export async function backUp(
  target: Target,
  { folders, stallMs }: BackUpOptions,
  signal: AbortSignal,
): Promise<BackupSource> {
  const tools = await findTools(folders, signal);
  const found = await withSession(target, { signal, silenceMs: stallMs }, (session) =>
    translating('The database cannot be backed up', () => examine(session, target, tools)),
  );
  const { tool, details, usesTls } = found;
  const environment = await openToolEnvironment(target, usesTls);
  return {
    stream: dump(environment, found, stallMs, signal),
    tool: { name: 'mariadb-dump', version: tool.version },
    engineVersion: details.serverVersion,
    mediaType: 'application/sql',
    suffix: '.sql',
    compressed: false,
    details,
  };
}

interface Found {
  readonly tool: DumpTool;
  readonly details: Details;
  readonly programs: readonly Program[];
  readonly tables: readonly Table[];
  readonly usesTls: boolean;
}

async function examine(session: Session, target: Target, tools: readonly DumpTool[]): Promise<Found> {
  const place = await readPlace(session, target);
  const tool = toolToDump(tools, place);
  refuseHidden(place, target);
  const tables = await readTables(session, target.database);
  await refuseWhatIsNotKept(session, target, place, tables);
  const programs = await readPrograms(session, target.database);
  const details = detailsOf(place, {
    toolVersion: tool.version,
    tables: tables.length,
    programs: programs.length,
    notTransactional: await countNotTransactional(session, target.database),
  });
  return { tool, details, programs, tables, usesTls: session.usesTls };
}

/** Without a right, the server does not say that there is something: the backup would silently lack it. */
function refuseHidden(place: Place, { database }: Target): void {
  const missing = missingRights(place, database, backupRights);
  if (missing.length === 0) return;
  throw new ForestayError(
    'InstanceRefused',
    `The user lacks rights on the whole database, so a backup could lack something: ${missing.join(', ')}.`,
    { hint: `Give them to the user: GRANT ${missing.join(', ')} ON the database (docs/engines/mariadb.md).` },
  );
}

function dump(
  environment: ToolEnvironment,
  { tool, details, tables, programs }: Found,
  stallMs: number,
  signal: AbortSignal,
): Readable {
  const keepsHistory =
    tables.some(({ type }) => type === 'SYSTEM VERSIONED') &&
    compareVersions(seriesOf(tool.version), '10.11') >= 0;
  const args = [
    `--defaults-file=${environment.defaultsFile}`,
    '--single-transaction',
    '--quick',
    '--hex-blob',
    '--skip-triggers',
    '--skip-add-locks',
    // A comment quotes names, which may have line breaks: without them, comments in a backup are ours.
    '--skip-comments',
    '--max-allowed-packet=1G',
    ...(keepsHistory ? ['--dump-history'] : []),
    // Views come with the programs; broken ones, which make mariadb-dump fail, cannot be told from others here.
    ...programs
      .filter(({ kind }) => kind === 'VIEW')
      .map(({ name }) => `--ignore-table=${details.database}.${name}`),
    '--',
    details.database,
  ];
  const source = spawnSource(tool.path, args, { env: environment.env, signal, largeWrites: true });
  const stalled = () =>
    new ForestayError('InstanceBusy', `mariadb-dump wrote nothing for ${Math.round(stallMs / 1000)} s.`, {
      hint: 'Something may hold a lock on a table, or the server hangs; look at its process list, then try again.',
    });
  const stream = joinStreams(source, [stallWatchdog(stallMs, stalled), completed(programs)], {
    signal,
    translate: (error) => translateError(error, 'The backup failed'),
  });
  stream.once('close', () => void environment.close());
  return stream;
}

/** The last statement of every script of mariadb-dump: it gives back the first setting that it took. */
const dumpEnd = /SET SQL_NOTES=@OLD_SQL_NOTES \*\/;$/;

/** Exit code 0 is not all: the script must have its end. Then the programs follow. */
function completed(programs: readonly Program[]): Transform {
  let tail = Buffer.alloc(0);
  return new Transform({
    transform(bytes: Buffer, _encoding, callback) {
      const last = bytes.length >= 64 ? bytes.subarray(-64) : Buffer.concat([tail, bytes]).subarray(-64);
      // A copy, because the memory of the bytes is given back.
      tail = Buffer.from(last);
      callback(null, bytes);
    },
    flush(callback) {
      if (dumpEnd.test(tail.toString('latin1').trimEnd())) return callback(null, writePrograms(programs));
      callback(
        new ForestayError('ToolFailed', 'mariadb-dump exited with code 0, but its script has no end.', {
          hint: 'Check the MariaDB client tools of the worker.',
        }),
      );
    },
  });
}
