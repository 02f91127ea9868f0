import { randomBytes } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { spawnSource } from '../../pipeline/child-process.ts';
import type { BackupSource } from '../engine.ts';
import type { Target } from './connection.ts';
import { type ArchiveFormat, type Details, readDetails } from './details.ts';
import { openToolEnvironment } from './environment.ts';
import { translateError, translating } from './errors.ts';
import { applicationName } from './names.ts';
import { dumpInParallel } from './parallel-dump.ts';
import { readUnqualifiedFunctions } from './search-path.ts';
import { type Session, withSession } from './session.ts';
import { watchForStall } from './stall.ts';
import { settingsForTools } from './tool-settings.ts';
import { findToolsets, majorOf, type Toolset, toolPath, toolsToDump } from './tools.ts';

/** How long pg_dump waits for a table that somebody locked exclusively. */
const lockWaitMs = 10 * 60 * 1000;

export interface BackUpOptions {
  /** Folders with client tools. */
  readonly folders: readonly string[];
  readonly stallMs: number;
}

/** A pg_dump archive (custom format, not compressed) of one database, at one moment. */
export async function backUp(
  target: Target,
  options: BackUpOptions,
  signal: AbortSignal,
): Promise<BackupSource> {
  const toolsets = await findToolsets(options.folders, signal);
  const { details, tools, databaseBytes, settings } = await withSession(
    target,
    { signal, applicationName },
    (session) => translating('The database cannot be backed up', () => examine(session, toolsets)),
  );
  const facts = {
    tool: { name: 'pg_dump', version: tools.version },
    engineVersion: details.serverVersion.split(' ')[0] ?? details.serverVersion,
  };
  const { parallel: jobs = 1 } = target;
  // A name of its own, by which its sessions can be told from those of other backups.
  const sessions = `${applicationName}-dump-${randomBytes(8).toString('hex')}`;
  if (jobs > 1) {
    // Compressed, and without indexes, it takes less as a rule.
    const neededBytes = databaseBytes / 2;
    const work = { target, tools, sessions, settings, args, jobs, neededBytes, stallMs: options.stallMs };
    const { stream, archiveBytes } = await dumpInParallel(work, signal);
    return {
      ...facts,
      stream,
      mediaType: 'application/x-tar',
      suffix: '.pgdump.tar',
      compressed: true,
      details: { ...details, format: 'directory' satisfies ArchiveFormat, archiveBytes },
    };
  }
  const knownAtTheEnd: { archiveBytes?: number } = {};
  return {
    ...facts,
    stream: await dump({ target, tools, sessions, settings, ...options }, signal, (bytes) => {
      knownAtTheEnd.archiveBytes = bytes;
    }),
    mediaType: 'application/vnd.postgresql.dump',
    suffix: '.pgdump',
    compressed: false,
    details: Object.assign(knownAtTheEnd, details, { format: 'custom' satisfies ArchiveFormat }),
  };
}

/** What pg_dump is told in every form. */
const args = ['--no-password', '--no-subscriptions', `--lock-wait-timeout=${lockWaitMs}`];

async function examine(session: Session, toolsets: readonly Toolset[]): Promise<Examined> {
  // Not the sizes of the tables, which are only told with a lock on each.
  const [server] = await session.query<{ version: string; bytes: string }>(
    "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes",
  );
  const tools = toolsToDump(toolsets, majorOf(server?.version ?? ''));
  await refuseHiddenRows(session);
  await refuseUnqualifiedFunctions(session);
  const details = await readDetails(session, tools.version);
  const settings = await settingsForTools(session);
  return { tools, details, databaseBytes: Number(server?.bytes), settings };
}

interface Examined {
  readonly details: Details;
  readonly tools: Toolset;
  readonly databaseBytes: number;
  readonly settings: Readonly<Record<string, string>>;
}

/** pg_dump would fail on such tables too (it sets row_security off), only later and less clearly. */
async function refuseHiddenRows(session: Session): Promise<void> {
  const rows = await session.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class c
     WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND row_security_active(c.oid)
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
     ORDER BY 1 LIMIT 5`,
  );
  if (rows.length === 0) return;
  throw new ForestayError(
    'InstanceRefused',
    `Row-level security hides rows from this role, so a backup would lack them: ${rows.map(({ name }) => name).join(', ')}.`,
    {
      hint: 'Give the role BYPASSRLS, or back up with the owner of the tables where row security is not forced, or with a superuser.',
    },
  );
}

/** Such a backup would be done and could not be restored. */
async function refuseUnqualifiedFunctions(session: Session): Promise<void> {
  const functions = await readUnqualifiedFunctions(session);
  const [first] = functions;
  if (first === undefined) return;
  throw new ForestayError(
    'InstanceRefused',
    `A restore would fail with functions that name things without their schema: ${functions.slice(0, 5).join(', ')}.`,
    {
      hint: `They are called by indexes, generated columns, checks or materialised views, which are built without a search_path. Give each one: ALTER FUNCTION ${first} SET search_path = …`,
    },
  );
}

interface DumpWork extends BackUpOptions {
  readonly target: Target;
  readonly tools: Toolset;
  readonly sessions: string;
  readonly settings: Readonly<Record<string, string>>;
}

async function dump(
  { target, tools, sessions, settings, stallMs }: DumpWork,
  signal: AbortSignal,
  onEnd: (bytes: number) => void,
): Promise<Readable> {
  const environment = await openToolEnvironment(target, { applicationName: sessions, settings });
  const watch = watchForStall({ target, sessions, tool: 'pg_dump', stallMs, signal });
  const source = spawnSource(toolPath(tools, 'pg_dump'), ['--format=custom', '--compress=0', ...args], {
    env: environment.env,
    signal: watch.signal,
    largeWrites: true,
  });
  const stream = new PassThrough({
    highWaterMark: 256 * 1024,
    destroy(error, callback) {
      watch.release();
      const done = () => environment.close().then(() => callback(error), callback);
      if (source.closed) done();
      else source.once('close', done).destroy();
    },
  });
  // Before the pipe, whose end must come after it.
  let bytes = 0;
  source.once('end', () => onEnd(bytes));
  // Ends after exit code 0 only: pipe passes on a clean end, and errors come here.
  source.on('error', (error) => stream.destroy(translateError(error, 'The backup failed')));
  source.pipe(stream);
  source.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    watch.alive();
  });
  watch.excuseWhile(() => stream.readableLength >= stream.readableHighWaterMark);
  stream.on('error', () => {});
  return stream;
}
