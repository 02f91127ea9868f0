import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { finished as streamFinished } from 'node:stream/promises';
import { ForestayError } from '../core/errors.ts';
import { onAbort } from './abort.ts';
import { type Child, inputOf, outputOf } from './child-streams.ts';
import { guardEnd, guardedCommand } from './end-guard.ts';
import { withLargeWrites } from './large-writes.ts';
import { endGroup, killAtExit } from './process-group.ts';
import { StderrTail } from './stderr-tail.ts';

/**
 * The only file that starts processes. What it promises: a stream out of a program ends cleanly only after the program
 * exited 0; a program that is fed never sees a clean end of its input after an error; whoever destroys a stream or
 * aborts a signal ends the program and everything it started; and secrets of the service do not reach its environment.
 */

export interface ChildOptions {
  /** Added to the few harmless variables every program gets; nothing else of the service's environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** For programs that write much to stdout: makes those that use the C library's buffer write it in large blocks. */
  readonly largeWrites?: boolean;
  /** Called with each line the program writes to stderr, without its line break. */
  readonly onStderrLine?: (line: string) => void;
  /** Exit codes that are no failure, besides 0; for programs that tell something less than a failure with one. */
  readonly acceptedExitCodes?: readonly number[];
}

export interface SinkOptions extends ChildOptions {
  /** `pipe`: what the program writes to stdout comes as `output`, which must be read. Default: it goes nowhere. */
  readonly captureOutput?: 'ignore' | 'pipe';
  /**
   * What happens to input that comes after the program exited 0 or closed its input. `fail` (default): `ToolFailed`.
   * `discard`: it is read to its end and dropped, for programs that stop where their own format ends.
   */
  readonly unreadInput?: 'fail' | 'discard';
  /**
   * For programs that act at the end of their input: it comes only when somebody meant it, not when this process is killed;
   * then the program is killed, too. A program that is missing exits with 127.
   */
  readonly guardEnd?: boolean;
}

export interface Sink {
  /** Its `finish` waits for exit code 0. Destroying it before that kills the program. */
  readonly input: Writable;
  readonly output?: Readable;
  /** Resolves after all input was written and the program exited 0. Never an unhandled rejection: `input` fails too. */
  readonly finished: Promise<{ stderr: string }>;
}

export interface ToolOptions extends ChildOptions {
  /** Milliseconds after which the program is killed. */
  readonly timeoutMs?: number;
  /** Bytes of stdout, 1 MiB by default; a program that writes more is killed and fails. */
  readonly maxOutputBytes?: number;
  /** Written to stdin: the way for secrets. */
  readonly input?: string | Uint8Array;
}

/** How a program ended: the cause of `ToolFailed`. */
export class ChildExit extends Error {
  override readonly name = 'ChildExit';
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to stderr, 64 KiB at most. */
  readonly stderr: string;

  constructor(exitCode: number | null, signal: NodeJS.Signals | null, stderr: string) {
    super(signal === null ? `exited with code ${exitCode}` : `was ended by ${signal}`);
    this.exitCode = exitCode;
    this.signal = signal;
    this.stderr = stderr;
  }
}

const messageTail = 2_000;

/**
 * The stdout of a program, in chunks that `release` gives back. Fails with `ToolMissing`, `ToolFailed` (cause: `ChildExit`)
 * or what the signal says.
 */
export function spawnSource(command: string, args: readonly string[], options: ChildOptions = {}): Readable {
  const child = start(command, args, options, { stdin: 'ignore', stdout: 'pipe' });
  const source = outputOf(child, 'handedOver');
  child.exited.then(
    () => source.push(null),
    (error) => source.destroy(error),
  );
  const release = onAbort(options.signal, (error) => source.destroy(error));
  source.once('close', release);
  return source;
}

/** A program that reads stdin. Its failure comes from `input`, `output` and `finished` alike, never as EPIPE. */
export function runSink(command: string, args: readonly string[], options: SinkOptions = {}): Sink {
  const child = start(command, args, options, {
    stdin: 'pipe',
    stdout: options.captureOutput ?? 'ignore',
    guarded: options.guardEnd === true,
  });
  const { promise: finished, resolve, reject } = Promise.withResolvers<{ stderr: string }>();
  finished.catch(() => {});
  const output = options.captureOutput === 'pipe' ? outputOf(child) : undefined;
  const input = inputOf(child, command, options.unreadInput ?? 'fail');

  const fail = (error: unknown) => {
    const reason = error instanceof Error ? error : new Error(String(error));
    reject(reason);
    input.destroy(reason);
    output?.destroy(reason);
  };
  child.exited.then(
    () => output?.push(null),
    (error) => fail(input.errored ?? output?.errored ?? error),
  );
  input.once('finish', () => resolve({ stderr: child.stderr.text }));
  input.on('error', fail);
  output?.on('error', fail);
  input.once('close', () => {
    if (!input.writableFinished) fail(input.errored ?? stopped(command));
  });
  output?.once('close', () => {
    if (!output.readableEnded) fail(output.errored ?? stopped(command));
  });
  const release = onAbort(options.signal, fail);
  finished.then(release, release);
  return output ? { input, output, finished } : { input, finished };
}

/** Runs a program to its end and returns what it said. Output that is not UTF-8 is not for this. */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<{ stdout: string; stderr: string }> {
  const maxBytes = options.maxOutputBytes ?? 1024 * 1024;
  const sink = runSink(command, args, { ...options, captureOutput: 'pipe', unreadInput: 'discard' });
  const { input, output } = sink as Required<Sink>;
  const tool = basename(command);
  const late = () =>
    input.destroy(new ForestayError('ToolFailed', `${tool} did not finish within ${options.timeoutMs} ms.`));
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(late, options.timeoutMs);
  const chunks: Buffer[] = [];
  let size = 0;
  output.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else input.destroy(new ForestayError('ToolFailed', `${tool} wrote more than ${maxBytes} bytes.`));
  });
  input.end(options.input);
  try {
    const [{ stderr }] = await Promise.all([sink.finished, streamFinished(output)]);
    return { stdout: Buffer.concat(chunks).toString('utf8'), stderr };
  } catch (error) {
    await gone(input);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

interface Plumbing {
  readonly stdin: 'ignore' | 'pipe';
  readonly stdout: 'ignore' | 'pipe';
  readonly guarded?: boolean;
}

function start(command: string, args: readonly string[], options: ChildOptions, plumbing: Plumbing): Child {
  const stderr = new StderrTail(options.onStderrLine);
  const { promise: exited, resolve, reject } = Promise.withResolvers<void>();
  exited.catch(() => {});
  if (options.signal?.aborted) {
    return { stdin: null, stdout: null, stderr, exited, stop: async () => {} };
  }
  // A process group of its own, so that ending it also ends what it started (shells, parallel workers).
  const line = options.largeWrites ? withLargeWrites(command, args) : { command, args };
  const [file, argv] = plumbing.guarded ? guardedCommand(line.command, line.args) : [line.command, line.args];
  const child = spawn(file, argv, {
    stdio: [plumbing.stdin, plumbing.stdout, 'pipe'],
    env: { ...harmlessEnvironment(), ...options.env },
    cwd: options.cwd,
    detached: true,
  });
  const releaseGuard = plumbing.guarded ? guardEnd(child) : undefined;
  child.stderr?.on('data', (bytes: Buffer) => stderr.write(bytes));
  child.stderr?.on('error', () => {});
  child.stderr?.once('close', () => stderr.close());
  child.stdout?.on('error', reject);

  const accepted = (code: number | null) =>
    code === 0 || (code !== null && options.acceptedExitCodes?.includes(code) === true);
  const { promise: processGone, resolve: isGone } = Promise.withResolvers<void>();
  child.once('error', (error: NodeJS.ErrnoException) => {
    if (child.pid !== undefined) return;
    isGone();
    reject(notStarted(command, error));
  });
  child.once('exit', async (code, signal) => {
    isGone();
    releaseGuard?.();
    if (accepted(code)) return;
    await closed(child.stderr, 1_000);
    reject(toolFailed(command, new ChildExit(code, signal, stderr.text)));
  });
  let over = false;
  child.once('close', (code) => {
    over = true;
    if (accepted(code)) resolve();
  });
  if (child.pid !== undefined) killAtExit(child);
  let stopping: Promise<void> | undefined;
  const stop = () => {
    // Once all is over its id may be that of somebody else.
    stopping ??= over ? Promise.resolve() : endGroup(child, processGone);
    return stopping;
  };
  return { stdin: child.stdin, stdout: child.stdout, stderr, exited, stop };
}

/** What programs need to run at all; LC_ALL makes their messages the ones we know. */
function harmlessEnvironment(): Record<string, string> {
  const { PATH, HOME, TMPDIR, TZ } = process.env;
  const passedOn = Object.entries({ PATH, HOME, TMPDIR, TZ }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return { ...Object.fromEntries(passedOn), LANG: 'C', LC_ALL: 'C' };
}

function notStarted(command: string, cause: NodeJS.ErrnoException): ForestayError {
  const tool = basename(command);
  if (cause.code === 'ENOENT' || cause.code === 'EACCES') {
    return new ForestayError('ToolMissing', `The program ${tool} is not there, or may not be run.`, {
      hint: `Install ${tool} on the machine of the worker, where its PATH finds it.`,
      cause,
    });
  }
  return new ForestayError(
    'ToolFailed',
    `The program ${tool} could not be started (${cause.code ?? 'unknown reason'}).`,
    { cause },
  );
}

function toolFailed(command: string, exit: ChildExit): ForestayError {
  const said = exit.stderr.trim().slice(-messageTail);
  const message = `${basename(command)} ${exit.message}${said === '' ? '.' : `: ${said}`}`;
  return new ForestayError('ToolFailed', message, { cause: exit });
}

function stopped(command: string): ForestayError {
  return new ForestayError('Canceled', `${basename(command)} was stopped before it was finished.`);
}

/** Waits for a stream to close, at most so long: a process that was left behind may hold it open. */
function closed(stream: Readable | null, atMostMs: number): Promise<void> {
  if (!stream || stream.closed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, atMostMs);
    stream.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function gone(stream: Writable): Promise<void> {
  return stream.closed ? Promise.resolve() : new Promise((resolve) => stream.once('close', () => resolve()));
}
