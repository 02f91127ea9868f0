import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type { BackupBody } from '../http/v1/backups.ts';
import type { Client } from './client.ts';
import { CliError, usageError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';

/** What both forms of download have in common. */
export interface Download {
  readonly client: Client;
  /** Path of the download in the API, with what it asks for. */
  readonly url: string;
  readonly backup: BackupBody;
  readonly signal: AbortSignal;
}

export function bodyOf(response: Response): Readable {
  if (!response.body) throw usageError('The site answered without a backup.');
  return Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
}

/** A download that broke off, with what there is to do about it; other errors as they are. */
export function broken(error: unknown, signal: AbortSignal, hint: string): unknown {
  const { name, code } = error as NodeJS.ErrnoException;
  if (signal.aborted) {
    const { code: why, exitCode } = signal.reason as CliError;
    return new CliError(why, exitCode, 'Interrupted.', { hint });
  }
  if (error instanceof CliError || (name !== 'TypeError' && code !== 'ECONNRESET')) return error;
  return new CliError(
    'DownloadBroken',
    exitCodes.failed,
    'The connection broke before the whole backup was there.',
    {
      hint,
      cause: error,
    },
  );
}
