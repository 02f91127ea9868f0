import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { TooManyAttempts } from '../auth/attempts.ts';
import { type ErrorCode, ForestayError, toForestayError } from '../core/errors.ts';
import { loggedError } from './logged-error.ts';

/**
 * The one map from the catalogue of errors to HTTP, and the one place that writes error answers: `{msg}` under
 * `/service-instances` (V0), `{error, description}` everywhere else.
 */
export const statusOf = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  TooManyRequests: 429,
  InstanceNotFound: 404,
  BackupNotFound: 404,
  RestoreNotFound: 404,
  BackupNotDownloadable: 412,
  BackupNotRestorable: 422,
  BackupInUse: 409,
  TaskAlreadyFinished: 409,
  RestoreInProgress: 409,
  UndoUnavailable: 409,
  PlanUnavailable: 422,
  InstanceExists: 409,
  IdempotencyKeyReused: 422,
  EncryptionKeyMismatch: 403,
  IncompatibleBackup: 422,
  InstanceUnreachable: 422,
  InstanceRefused: 422,
  ConnectionMissing: 422,
  InstanceBusy: 409,
  InstanceFull: 422,
  ToolMissing: 422,
  ToolFailed: 502,
  StoreUnavailable: 502,
  StoreTimeout: 504,
  StoreDenied: 502,
  StoreFull: 502,
  ObjectMissing: 502,
  ObjectExists: 502,
  BackupDamaged: 502,
  Canceled: 409,
  AttemptSuperseded: 409,
  WorkerLost: 500,
  DatabaseUnavailable: 502,
  Misconfigured: 500,
  Internal: 500,
} as const satisfies Record<ErrorCode, number>;

/** What only a transport can refuse: the domain never throws one of these. */
export class HttpError extends Error {
  readonly status: number;
  readonly word: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    word: string,
    description: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(description);
    this.status = status;
    this.word = word;
    this.headers = headers;
  }
}

export interface ErrorAnswer {
  readonly status: number;
  readonly word: string;
  readonly description: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Anything thrown, as what is answered. Of what is unknown nothing is told but where to find it. */
export function answerOf(thrown: unknown, requestId: string): ErrorAnswer {
  if (thrown instanceof HttpError) {
    return { status: thrown.status, word: thrown.word, description: thrown.message, headers: thrown.headers };
  }
  if (thrown instanceof ForestayError) return { ...describe(thrown), headers: headersOf(thrown) };
  const fromFramework = answerOfFramework(thrown as Partial<FastifyError>);
  if (fromFramework) return { headers: {}, ...fromFramework };
  const { status, word } = describe(toForestayError(thrown));
  return {
    status,
    word,
    description: `An unexpected error occurred. An operator finds the reason in the log under request ${requestId}.`,
    headers: {},
  };
}

function describe(error: ForestayError): Pick<ErrorAnswer, 'status' | 'word' | 'description'> {
  const description = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  return { status: statusOf[error.code], word: error.code, description };
}

function headersOf(error: ForestayError): Record<string, string> {
  if (error.code === 'Unauthorized') return { 'www-authenticate': 'Bearer realm="forestay"' };
  if (error instanceof TooManyAttempts) return { 'retry-after': String(error.retryAfterSeconds) };
  return {};
}

/** Fastify's own refusals; their messages speak to programmers, so they are said again. */
function answerOfFramework({ statusCode = 500 }: Partial<FastifyError>) {
  if (statusCode === 413) {
    return { status: 413, word: 'PayloadTooLarge', description: 'The body of the request is too large.' };
  }
  if (statusCode === 415) {
    return {
      status: 415,
      word: 'UnsupportedMediaType',
      description: 'The body must be JSON, sent with the header Content-Type: application/json.',
    };
  }
  if (statusCode >= 400 && statusCode < 500) {
    return {
      status: 400,
      word: 'BadRequest',
      description: 'The request is malformed: its address, headers or body.',
    };
  }
  return undefined;
}

export function isV0(url: string): boolean {
  return /^\/+service-instances(?:[/?#]|$)/.test(url);
}

export function errorBody(url: string, answer: Pick<ErrorAnswer, 'word' | 'description'>): object {
  return isV0(url) ? { msg: answer.description } : { error: answer.word, description: answer.description };
}

/** Answers an error and logs what is our fault, with everything that is known of it. */
export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const answer = answerOf(thrown, request.id);
  if (answer.status >= 500) {
    request.log.error({ error: answer.word, err: loggedError(thrown) }, 'a request failed');
  }
  // A download sets its headers before its first byte; when that never came they describe nothing.
  for (const name of downloadHeaders) reply.removeHeader(name);
  void reply
    .code(answer.status)
    .headers(answer.headers)
    .type('application/json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(errorBody(request.url, answer));
}

const downloadHeaders = [
  'content-disposition',
  'content-length',
  'content-range',
  'accept-ranges',
  'etag',
  'x-forestay-open-with',
];
