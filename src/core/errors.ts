/**
 * The catalogue of everything that can go wrong in a way somebody can act on. A code is one CamelCase word: it is
 * what the V1 API answers as `error`, what a task keeps as `error.code` and what the command line prints.
 * `http/errors.ts` maps codes to status codes (V0 has some 412s of its own), `cli/exit-codes.ts` to exit codes.
 */

/** Whether doing the same thing again, later, may succeed without anybody changing anything. */
type Retry = 'retryable' | 'final';

export const errorCatalogue = {
  // What a caller did
  BadRequest: 'final',
  Unauthorized: 'final',
  Forbidden: 'final',
  NotFound: 'final',
  TooManyRequests: 'retryable',
  InstanceNotFound: 'final',
  BackupNotFound: 'final',
  RestoreNotFound: 'final',
  BackupNotDownloadable: 'final',
  BackupNotRestorable: 'final',
  BackupInUse: 'final',
  TaskAlreadyFinished: 'final',
  RestoreInProgress: 'final',
  UndoUnavailable: 'final',
  PlanUnavailable: 'final',
  InstanceExists: 'final',
  IdempotencyKeyReused: 'final',
  EncryptionKeyMismatch: 'final',
  IncompatibleBackup: 'final',
  // The instance
  InstanceUnreachable: 'retryable',
  InstanceRefused: 'final',
  InstanceBusy: 'retryable',
  ConnectionMissing: 'final',
  InstanceFull: 'final',
  ToolMissing: 'final',
  ToolFailed: 'final',
  // The store
  StoreUnavailable: 'retryable',
  StoreTimeout: 'retryable',
  StoreDenied: 'final',
  StoreFull: 'final',
  ObjectMissing: 'final',
  ObjectExists: 'final',
  BackupDamaged: 'final',
  // Forestay itself
  DatabaseUnavailable: 'retryable',
  Canceled: 'final',
  AttemptSuperseded: 'final',
  WorkerLost: 'retryable',
  Misconfigured: 'final',
  Internal: 'final',
} as const satisfies Record<string, Retry>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * An error with a code from the catalogue. `message` says what happened, `hint` what to do about it; both are shown
 * to users, so neither may hold a secret. `cause` is for the log of operators only.
 */
export class ForestayError extends Error {
  override readonly name = 'ForestayError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** How long to wait before the next try, where somebody said so. Milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return errorCatalogue[this.code] === 'retryable';
  }
}

export function hasCode(error: unknown, ...codes: ErrorCode[]): error is ForestayError {
  return error instanceof ForestayError && codes.includes(error.code);
}

/**
 * Anything thrown, as an error of the catalogue. Engines and stores translate their own errors, so a connection error that
 * comes here untranslated is one of the service's own database, and may pass. What else is unknown is `Internal`, and its
 * text stays in the log.
 */
export function toForestayError(error: unknown): ForestayError {
  if (error instanceof ForestayError) return error;
  if (isConnectionError(error)) {
    return new ForestayError('DatabaseUnavailable', "The service's own database does not answer.", {
      hint: 'Try again; operators find the reason in the log of the service and in that of the database.',
      cause: error,
    });
  }
  return new ForestayError('Internal', 'An unexpected error occurred.', {
    hint: 'An operator finds the reason in the log of the service, under the id of this request or task.',
    cause: error,
  });
}

/** SQLSTATE classes of connections and shutdowns, errors of sockets, and what the driver says without a code. */
function isConnectionError(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string')
    return /^(08...|57P0[1-5]|53300|ECONN[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH)$/.test(code);
  return (
    typeof message === 'string' &&
    /^(Connection terminated|timeout exceeded when trying to connect)/.test(message)
  );
}
