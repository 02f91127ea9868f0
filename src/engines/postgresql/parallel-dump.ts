import { type Readable, Transform } from 'node:stream';
import { abortError } from '../../pipeline/abort.ts';
import { runTool, spawnSource } from '../../pipeline/child-process.ts';
import type { Target } from './connection.ts';
import { checkDirectoryArchive } from './directory-archive.ts';
import { openToolEnvironment } from './environment.ts';
import { translateError } from './errors.ts';
import { archiveName, folderBytes, makeSpool, roomLacking, type Spool } from './spool.ts';
import { watchForStall } from './stall.ts';
import { type Toolset, toolPath } from './tools.ts';

export interface ParallelDumpOptions {
  readonly target: Target;
  readonly tools: Toolset;
  /** What the server shall list the sessions as. */
  readonly sessions: string;
  /** Of the server, for these sessions. */
  readonly settings: Readonly<Record<string, string>>;
  /** Of pg_dump, whatever the format. */
  readonly args: readonly string[];
  readonly jobs: number;
  /** What there must be room for. */
  readonly neededBytes: number;
  readonly stallMs: number;
}

/**
 * Dumps with several jobs at once into a spool, then gives that as a tar stream; resolves when the dump is complete. Every job compresses
 * what it reads: with one process behind the stream to do it, that would take longer than a dump without jobs does.
 */
export async function dumpInParallel(
  options: ParallelDumpOptions,
  signal: AbortSignal,
): Promise<{ stream: Readable; archiveBytes: number }> {
  const spool = await makeSpool(options.neededBytes);
  try {
    await dumpInto(spool, options, signal);
    // What a restore would refuse must not become a backup.
    await checkDirectoryArchive(spool.archive);
    const archiveBytes = await folderBytes(spool.archive);
    return { stream: tarOf(spool, signal), archiveBytes };
  } catch (error) {
    await spool.remove();
    throw error;
  }
}

async function dumpInto(
  spool: Spool,
  { target, tools, sessions, settings, args, jobs, stallMs }: ParallelDumpOptions,
  signal: AbortSignal,
): Promise<void> {
  const environment = await openToolEnvironment(target, { applicationName: sessions, settings });
  const watch = watchForStall({ target, sessions, tool: 'pg_dump', stallMs, signal });
  let size = 0;
  const look = async () => {
    const now = await folderBytes(spool.archive);
    if (now !== size) watch.alive();
    size = now;
  };
  const timer = setInterval(look, stallMs / 8);
  // Not synced to the disk: a spool need not outlive anything.
  const form = [
    '--format=directory',
    `--jobs=${jobs}`,
    '--compress=1',
    '--no-sync',
    `--file=${spool.archive}`,
  ];
  try {
    await runTool(toolPath(tools, 'pg_dump'), [...form, ...args], {
      env: environment.env,
      signal: watch.signal,
    });
  } catch (error) {
    if (watch.signal.aborted) throw abortError(watch.signal);
    throw roomLacking(error) ?? translateError(error, 'The backup failed');
  } finally {
    clearInterval(timer);
    watch.release();
    await environment.close();
  }
}

function tarOf(spool: Spool, signal: AbortSignal): Readable {
  const args = ['--create', '--file=-', '--numeric-owner', `--directory=${spool.path}`, archiveName];
  const source = spawnSource('tar', args, { signal, largeWrites: true });
  const stream = new Transform({
    highWaterMark: 256 * 1024,
    transform: (bytes, _encoding, callback) => callback(null, bytes),
    flush: (callback) => void spool.remove().then(() => callback(), callback),
    destroy(error, callback) {
      const done = () => spool.remove().then(() => callback(error), callback);
      if (source.closed) done();
      else source.once('close', done).destroy();
    },
  });
  source.on('error', (error) => stream.destroy(error));
  source.pipe(stream);
  stream.on('error', () => {});
  return stream;
}
