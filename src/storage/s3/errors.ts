import { S3ServiceException } from '@aws-sdk/client-s3';
import { ForestayError } from '../../core/errors.ts';
import { byErrno, byName, byServerCode, byStatus, type Meaning, notS3 } from './meanings.ts';

/**
 * What anything thrown by the client means; an error that is ours already, and what looks like a fault of this program, is
 * passed on. The cause holds the words of the server and never the request, whose headers are signed.
 */
export function storeError(store: string, error: unknown): unknown {
  if (error instanceof ForestayError || !(error instanceof Error)) return error;
  const meaning = meaningOf(error);
  if (!meaning) return error;
  const { code, says, hint } = meaning;
  return new ForestayError(code, `The store ${store} ${says} (${briefly(error)}).`, {
    hint,
    cause: withoutRequest(error),
    retryAfterMs: retryAfterMs(error),
  });
}

/** Whether what the client threw means one of these. */
export function isMeant(error: unknown, ...meanings: Meaning[]): boolean {
  const meaning = error instanceof Error ? meaningOf(error) : undefined;
  return meaning !== undefined && meanings.includes(meaning);
}

/** Whether the server answered with one of these codes. */
export function isAnswer(error: unknown, ...codes: string[]): boolean {
  return error instanceof S3ServiceException && codes.includes(error.name);
}

export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  return (error.$metadata as { httpStatusCode?: number } | undefined)?.httpStatusCode;
}

export function objectMissing(key: string): ForestayError {
  return new ForestayError('ObjectMissing', `The store has no object ${key}.`, {
    hint: 'It was deleted, or this is not the store it was put into.',
  });
}

export function objectExists(key: string): ForestayError {
  return new ForestayError('ObjectExists', `The store has an object ${key} already.`);
}

export function notLikeS3(store: string, what: string): ForestayError {
  return new ForestayError(notS3.code, `The store ${store} ${what}.`, { hint: notS3.hint });
}

function meaningOf(error: Error): Meaning | undefined {
  // The SDK's own parser fails on pages of HTML; what it was parsing came with a status.
  const status = statusOf(error) ?? responseOf(error)?.statusCode;
  // The SDK names a reset a timeout, so Node's code comes first.
  const byCode = byServerCode[error.name] ?? byErrno[codeOf(error)] ?? byName[error.name];
  if (byCode) return byCode;
  if (codeOf(error).startsWith('HPE_')) return notS3;
  if (status === undefined) return undefined;
  if (error instanceof S3ServiceException && error.name !== 'UnknownError' && status < 300) return notS3;
  if (!(error instanceof S3ServiceException) && status < 400) return notS3;
  return byStatus(status);
}

/** Happy Eyeballs collects one error for each address; the code of the whole is that of the first. */
function codeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string') return error.code;
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner instanceof Error && 'code' in inner ? String(inner.code) : '';
}

function briefly(error: Error): string {
  const status = statusOf(error);
  const name = codeOf(error) || error.name;
  return status === undefined || name === String(status) ? name : `${name}, HTTP ${status}`;
}

function withoutRequest(error: Error): Error {
  const id =
    '$metadata' in error ? (error.$metadata as { requestId?: string } | undefined)?.requestId : undefined;
  const cause = new Error(`${error.name}: ${error.message}${id ? ` (request ${id})` : ''}`);
  if (error.stack) cause.stack = error.stack;
  return cause;
}

function responseOf(error: Error): { statusCode?: number; headers?: Record<string, string> } | undefined {
  return '$response' in error ? (error.$response as ReturnType<typeof responseOf>) : undefined;
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(error: Error): number | undefined {
  const text = responseOf(error)?.headers?.['retry-after'];
  if (!text) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
