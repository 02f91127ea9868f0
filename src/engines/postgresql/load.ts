import { randomBytes } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../core/errors.ts';
import { runSink, type Sink } from '../../pipeline/child-process.ts';
import type { Guard } from './guard.ts';
import { checkpoint, inPlacePrologue } from './in-place.ts';
import { type LoadingTools, loadInParallel } from './load-in-parallel.ts';
import type { StallWatch } from './stall.ts';
import { toolPath } from './tools.ts';

/** How the bytes of an archive get into a database. Every function resolves only when all of them did. */
export interface LoadOptions extends LoadingTools {
  /** Where the archive lies, when it is in files; it then comes by none of the `bytes`, which must be empty. */
  readonly archive?: string | undefined;
}

/** Straight, for archives in which nothing can fail because of a role: the first error ends it. */
export async function loadDirectly(bytes: Readable, database: string, options: LoadOptions): Promise<void> {
  if (options.archive !== undefined && options.jobs > 1)
    return loadInParallel(options.archive, database, options);
  const args = ['--exit-on-error', '--no-password', ...options.args, '--dbname', database];
  if (options.archive !== undefined) args.push(options.archive);
  const { input } = runSink(toolPath(options.tools, 'pg_restore'), args, {
    env: options.env,
    signal: options.watch.signal,
    unreadInput: 'discard',
  });
  const loading = pipeline(bytes, input, { signal: options.watch.signal });
  watchInput(bytes, input, options.watch);
  await loading;
}

/** By way of a script, of which the guard rewrites what may fail because of a role; everything else must succeed. */
export async function loadGuarded(bytes: Readable, guard: Guard, options: LoadOptions): Promise<void> {
  const restore = startScript([], options);
  const psql = startPsql(options, guard.readStderr);
  await whole(bytes, restore, options.watch, (script) =>
    pipeline(script, (source: AsyncIterable<Buffer>) => guard.rewrite(restricted(source)), psql.input),
  );
}

/**
 * The same within one transaction that first empties the database. `beforeCommit` is awaited when nothing is left to do but
 * to commit. Resolves with the id of the transaction: whether it was committed can be asked for with `txid_status`.
 *
 * psql takes the end of its input for the end of its work, so a dying process must never look like an end after a COMMIT:
 * there is none in its input before everything else was proven to have succeeded.
 */
export async function loadInPlace(
  bytes: Readable,
  guard: Guard,
  options: LoadOptions,
  beforeCommit: (transactionId: string) => Promise<void>,
): Promise<void> {
  const mark = `forestay-${randomBytes(8).toString('hex')}`;
  const reached = Promise.withResolvers<string>();
  reached.promise.catch(() => {});
  const restore = startScript(['--single-transaction'], options);
  const psql = startPsql(options, (line) => {
    guard.readStderr(line);
    const id = new RegExp(`${mark}-(\\d+)`).exec(line)?.[1];
    if (id !== undefined) reached.resolve(id);
  });
  psql.finished.catch(reached.reject);
  const read = Promise.withResolvers<void>();
  read.promise.catch(() => {});

  let deciding = false;
  options.watch.excuseWhile(() => deciding);

  async function* transaction(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    yield Buffer.from(inPlacePrologue);
    yield* guard.rewrite(restricted(source));
    // The script is whole, but the bytes it was made of may still turn out to be damaged at their very end.
    await read.promise;
    yield Buffer.from(checkpoint(mark));
    const id = await reached.promise;
    deciding = true;
    await beforeCommit(id);
    deciding = false;
    yield Buffer.from('COMMIT;\n');
  }
  await whole(bytes, restore, options.watch, (script) => pipeline(script, transaction, psql.input), read);
}

/** What a script may begin with before its first command. */
const preamble = /^(?:[ \t]*(?:--[^\n]*)?\n)*/;
const preambleBytes = 4096;

/**
 * Passes on a script that tells psql to take no commands of its own from it, and no other. Without that, whoever made the
 * archive, or could give names to things in a database, could have psql run programs on this machine (CVE-2025-8714, CVE-2025-8715).
 */
export async function* restricted(script: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const bytes of script) {
    if (head === undefined) {
      yield bytes;
      continue;
    }
    head = Buffer.concat([head, bytes]);
    const start = head.toString('latin1', 0, preambleBytes);
    const rest = start.slice(preamble.exec(start)?.[0].length);
    if (/^\\restrict [A-Za-z0-9]+\n/.test(rest)) {
      yield head;
      head = undefined;
    } else if (rest.includes('\n') || start.length === preambleBytes) throw unrestricted();
  }
  if (head?.length) throw unrestricted();
}

function unrestricted(): ForestayError {
  return new ForestayError(
    'ToolMissing',
    'The PostgreSQL client tools of the worker are too old to restore safely: what a backup holds could run programs there.',
    {
      hint: 'Update them to 13.22, 14.19, 15.14, 16.10, 17.6, 18 or newer, or restore with a role that is superuser where all roles of the backup exist.',
    },
  );
}

/** pg_restore as a filter from archive to script. */
function startScript(extra: readonly string[], options: LoadOptions): Required<Sink> {
  const args = ['--no-password', ...extra, ...options.args, '--file', '-'];
  if (options.archive !== undefined) args.push(options.archive);
  return runSink(toolPath(options.tools, 'pg_restore'), args, {
    signal: options.watch.signal,
    captureOutput: 'pipe',
    unreadInput: 'discard',
  }) as Required<Sink>;
}

function startPsql(options: LoadOptions, onStderrLine: (line: string) => void): Sink {
  // VERBOSITY=verbose gives every error its code, which is the same in all languages.
  const args = [
    '-X',
    '-q',
    '-w',
    '-v',
    'ON_ERROR_STOP=1',
    '-v',
    'VERBOSITY=verbose',
    '-o',
    '/dev/null',
    '-f',
    '-',
  ];
  return runSink(toolPath(options.tools, 'psql'), args, {
    env: options.env,
    signal: options.watch.signal,
    onStderrLine,
  });
}

/** Both halves must succeed; when one fails the other is ended, and what failed first is what is thrown. */
async function whole(
  bytes: Readable,
  restore: Required<Sink>,
  watch: StallWatch,
  write: (script: Readable) => Promise<void>,
  read?: PromiseWithResolvers<void>,
): Promise<void> {
  let first: unknown;
  const failing = (error: unknown) => {
    first ??= error;
    read?.reject(error);
    const reason = error instanceof Error ? error : new Error(String(error));
    bytes.destroy(reason);
    restore.output.destroy(reason);
    throw error;
  };
  const reading = pipeline(bytes, restore.input, { signal: watch.signal }).then(
    () => read?.resolve(),
    failing,
  );
  const writing = write(restore.output).catch(failing);
  watchInput(bytes, restore.input, watch);
  await Promise.allSettled([reading, writing]);
  if (first !== undefined) throw first;
}

/** Bytes on their way are a sign of life; a tool that has taken all there is so far waits for the backup, not the other way round. */
function watchInput(bytes: Readable, input: Writable, watch: StallWatch): void {
  bytes.on('data', watch.alive);
  watch.excuseWhile(() => input.writableLength === 0 && !input.writableEnded);
}
