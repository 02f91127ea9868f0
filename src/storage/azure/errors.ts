import { RestError } from '@azure/storage-blob';
import { ForestayError } from '../../core/errors.ts';
import { byErrno, byName, byServerCode, byStatus, type Meaning, notAzure, skewed } from './meanings.ts';

/** Milliseconds: requests are signed with the time, and Azure takes 15 minutes of difference. */
const tooMuchSkew = 14 * 60_000;

/**
 * What anything thrown by the client means; an error that is ours already, and what looks like a fault of this program, is
 * passed on. The cause holds the words of the server and never the request, whose headers and URL are signed.
 */
export function storeError(store: string, error: unknown, skewMs = 0): unknown {
  if (error instanceof ForestayError || !(error instanceof Error)) return error;
  const meaning = meaningOf(error, skewMs);
  if (!meaning) return error;
  const { code, says, hint } = meaning;
  return new ForestayError(code, `The store ${store} ${says} (${briefly(error)}).`, {
    hint,
    cause: withoutRequest(error),
    retryAfterMs: retryAfterMs(error),
  });
}

/** Whether the server answered with one of these codes. */
export function isAnswer(error: unknown, ...codes: string[]): boolean {
  return codes.includes(serverCodeOf(error));
}

export function statusOf(error: unknown): number | undefined {
  return error instanceof RestError ? error.statusCode : undefined;
}

/** Of a request that must not replace an object: Azure has had several words for it. */
export function isTaken(error: unknown): boolean {
  if (isAnswer(error, 'BlobAlreadyExists', 'ConditionNotMet', 'TargetConditionNotMet')) return true;
  return statusOf(error) === 412 && isAnswer(error, '');
}

/** Whether there is no such object; not, that there is no such container. */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && !isAnswer(error, 'ContainerNotFound', 'ResourceNotFound');
}

export function objectMissing(key: string): ForestayError {
  return new ForestayError('ObjectMissing', `The store has no object ${key}.`, {
    hint: 'It was deleted, or this is not the store it was put into.',
  });
}

export function objectExists(key: string): ForestayError {
  return new ForestayError('ObjectExists', `The store has an object ${key} already.`);
}

export function notLikeAzure(store: string, what: string): ForestayError {
  return new ForestayError(notAzure.code, `The store ${store} ${what}.`, { hint: notAzure.hint });
}

function meaningOf(error: Error, skewMs: number): Meaning | undefined {
  const serverCode = serverCodeOf(error);
  if (serverCode === 'AuthenticationFailed' && Math.abs(skewMs) > tooMuchSkew) return skewed;
  const byCode = byServerCode[serverCode] ?? byErrno[codeOf(error)] ?? byName[error.name];
  if (byCode) return byCode;
  if (codeOf(error).startsWith('HPE_')) return notAzure;
  // How the SDK says that an answer lacks a header, and that its body ended too early.
  if (/^File download response doesn't/.test(error.message)) return notAzure;
  if (/^Data corruption failure/.test(error.message)) return byStatus(500);
  if (!(error instanceof RestError)) return undefined;
  const { statusCode } = error;
  if (statusCode === undefined) return codeOf(error) === 'REQUEST_SEND_ERROR' ? byStatus(500) : undefined;
  return statusCode < 300 ? notAzure : byStatus(statusCode);
}

/** Also answers without a body have it in a header. */
function serverCodeOf(error: unknown): string {
  if (!(error instanceof RestError) || !error.response) return '';
  const { headers, status } = error.response;
  // Without an answer `code` is Node's.
  return headers.get('x-ms-error-code') ?? (status >= 300 ? (error.code ?? '') : '');
}

/** Happy Eyeballs collects one error for each address; the code of the whole is that of the first. */
function codeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string') return error.code;
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner instanceof Error && 'code' in inner ? String(inner.code) : '';
}

function briefly(error: Error): string {
  const status = statusOf(error);
  const name = serverCodeOf(error) || codeOf(error) || error.name;
  return status === undefined ? name : `${name}, HTTP ${status}`;
}

/** The server repeats parts of what it was asked: a signature in a URL is a secret while it lives. */
function withoutRequest(error: Error): Error {
  // After the first line come the id of the request and the time.
  const [line = ''] = error.message.split('\n');
  const message = line.replaceAll(/\bsig=[^&\s"']+/gi, 'sig=…');
  const id = error instanceof RestError ? error.response?.headers.get('x-ms-request-id') : undefined;
  const cause = new Error(`${error.name}: ${message}${id ? ` (request ${id})` : ''}`);
  cause.stack = `${cause}\n${(error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n')}`;
  return cause;
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(error: Error): number | undefined {
  const text = error instanceof RestError ? error.response?.headers.get('retry-after') : undefined;
  if (!text) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
