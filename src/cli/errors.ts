import { CommanderError } from 'commander';
import { ForestayError } from '../core/errors.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-codes.ts';

/** Why a command ended, for people (`message`, `hint`), programs (`code`) and shells (`exitCode`). None holds a secret. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;
  /** Of the request that failed, as the log of the service has it. */
  readonly requestId: string | undefined;

  constructor(
    code: string,
    exitCode: ExitCode,
    message: string,
    options: { hint?: string | undefined; requestId?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.exitCode = exitCode;
    this.hint = options.hint;
    this.requestId = options.requestId;
  }
}

export function usageError(message: string, hint?: string): CliError {
  return new CliError('Usage', exitCodes.usage, message, { hint });
}

/** What the signal from the operating system becomes. */
export function interrupted(name: 'SIGINT' | 'SIGTERM', hint?: string): CliError {
  const code = name === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated;
  return new CliError('Interrupted', code, 'Interrupted.', { hint });
}

/** Anything thrown, as what the command line prints. Undefined: nothing went wrong (help was asked for). */
export function toCliError(error: unknown, signal: AbortSignal): CliError | undefined {
  if (error instanceof CliError) return error;
  // Whatever an interrupted command threw, it threw because it was interrupted.
  if (signal.aborted && signal.reason instanceof CliError) return signal.reason;
  if (error instanceof CommanderError) return ofCommander(error);
  if (error instanceof ForestayError) {
    return new CliError(error.code, exitCodeOf(error.code), error.message, {
      hint: error.hint,
      cause: error,
    });
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== undefined && systemErrors[code]) {
    return new CliError('Failed', exitCodes.failed, message, { hint: systemErrors[code], cause: error });
  }
  return new CliError('Internal', exitCodes.failed, `An unexpected error occurred: ${message}`, {
    cause: error,
  });
}

const systemErrors: Readonly<Record<string, string>> = {
  ENOENT: 'Check the path.',
  EISDIR: 'Name a file, not a folder.',
  ENOTDIR: 'Check the path.',
  EACCES: 'Check who may read and write there.',
  EPERM: 'Check who may read and write there.',
  EROFS: 'Choose a place that can be written.',
  ENOSPC: 'Make room, or choose another place with --output.',
  EDQUOT: 'Make room, or choose another place with --output.',
  EPIPE: 'The program that reads the output ended.',
};

function ofCommander(error: CommanderError): CliError | undefined {
  if (error.exitCode === 0) return undefined;
  if (error.code === 'commander.help') return usageError('The command is not complete.');
  return usageError(error.message.replace(/^error: /, ''));
}
