import type { ErrorCode } from '../core/errors.ts';

/** What the command line answers to the shell; documented in docs/command-line.md. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  conflict: 5,
  unreachable: 6,
  taskFailed: 7,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The exit code of an error of the catalogue; what another version of Forestay answers goes by its HTTP status. */
export function exitCodeOf(code: string, httpStatus?: number): ExitCode {
  const known = (byErrorCode as Readonly<Record<string, ExitCode>>)[code];
  if (known !== undefined) return known;
  return (httpStatus !== undefined && byHttpStatus[httpStatus]) || exitCodes.failed;
}

const { failed, usage, notFound, notAllowed, conflict, unreachable } = exitCodes;

const byErrorCode: Readonly<Partial<Record<ErrorCode, ExitCode>>> = {
  BadRequest: usage,
  Unauthorized: notAllowed,
  Forbidden: notAllowed,
  EncryptionKeyMismatch: notAllowed,
  NotFound: notFound,
  InstanceNotFound: notFound,
  BackupNotFound: notFound,
  RestoreNotFound: notFound,
  BackupNotDownloadable: conflict,
  BackupNotRestorable: conflict,
  BackupInUse: conflict,
  TaskAlreadyFinished: conflict,
  RestoreInProgress: conflict,
  UndoUnavailable: conflict,
  PlanUnavailable: conflict,
  InstanceExists: conflict,
  InstanceBusy: conflict,
  IdempotencyKeyReused: conflict,
  Misconfigured: usage,
  // The site answered: it is not the site that cannot be reached.
  InstanceUnreachable: failed,
  DatabaseUnavailable: failed,
  StoreUnavailable: failed,
  StoreTimeout: failed,
};

const byHttpStatus: Readonly<Record<number, ExitCode>> = {
  400: usage,
  401: notAllowed,
  403: notAllowed,
  404: notFound,
  409: conflict,
  412: conflict,
  423: conflict,
  // What a proxy answers where the site behind it does not.
  502: unreachable,
  503: unreachable,
  504: unreachable,
};
