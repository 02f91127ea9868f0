import type { ErrorCode } from '../../core/errors.ts';

/** What the errors of S3 servers, of the network and of TLS mean to the port, and to an operator. */
export interface Meaning {
  readonly code: ErrorCode;
  /** Follows "The store … ". */
  readonly says: string;
  readonly hint: string;
}

const wrongKey: Meaning = {
  code: 'StoreDenied',
  says: 'does not know these credentials',
  hint: 'Check AWS_ACCESS_KEY_ID (or the profile or role that is used), and that the key is active at this endpoint.',
};
const expired: Meaning = {
  code: 'StoreDenied',
  says: 'does not take these credentials any more',
  hint: 'Temporary credentials have expired: set new ones, or use a role or profile that renews them by itself.',
};
const denied: Meaning = {
  code: 'StoreDenied',
  says: 'does not allow this',
  hint: 'Give the credentials the rights that docs/stores/s3.md lists, on the bucket and on the objects below the prefix.',
};
const wrongRegion: Meaning = {
  code: 'StoreDenied',
  says: 'is in another region, or at another endpoint',
  hint: 'Set region= (and endpoint=, if there is one) in the URL of the store to those of the bucket.',
};
const skewed: Meaning = {
  // Retryable: the client learns the server's time from this very answer and signs with it from now on.
  code: 'StoreUnavailable',
  says: 'has another time than this machine',
  hint: 'Set the clock of this machine, best by NTP: requests are signed with the time, and 15 minutes are too much.',
};
const busy: Meaning = {
  code: 'StoreUnavailable',
  says: 'is overloaded or has a fault',
  hint: 'It is tried again by itself. If it stays so, look at the status or the log of the store.',
};
const slow: Meaning = {
  code: 'StoreTimeout',
  says: 'did not answer in time',
  hint: 'It is tried again by itself. If it stays so, check the network and the load of the store; fewer parallel parts (parallel=1) help slow links.',
};
const full: Meaning = {
  code: 'StoreFull',
  says: 'is full',
  hint: 'Raise the quota or free space; shorter retention times also free space.',
};
const tooLarge: Meaning = {
  code: 'StoreFull',
  says: 'does not take objects of this size',
  hint: 'Larger parts make larger objects possible: set part_size= in the URL of the store, for example part_size=64.',
};
const damagedOnTheWay: Meaning = {
  code: 'StoreUnavailable',
  says: 'received other bytes than were sent',
  hint: 'It is tried again by itself. If it stays so, something between this machine and the store changes what passes.',
};
const unsupported: Meaning = {
  code: 'StoreDenied',
  says: 'cannot do this',
  hint: 'The server lacks a part of S3 that Forestay needs; docs/stores/s3.md lists them.',
};
const unreachable: Meaning = {
  code: 'StoreUnavailable',
  says: 'cannot be reached',
  hint: 'Check the endpoint, DNS, firewalls and the proxy (HTTPS_PROXY, NO_PROXY), and whether the server runs.',
};
const untrusted: Meaning = {
  code: 'StoreDenied',
  says: 'shows a certificate that this machine does not trust',
  hint: 'If the authority is your own, name its certificate with ca_file=/path.pem in the URL of the store. Otherwise check the name and the date of the certificate.',
};
const noCredentials: Meaning = {
  code: 'StoreDenied',
  says: 'needs credentials and none were found',
  hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.',
};
export const notS3: Meaning = {
  code: 'StoreUnavailable',
  says: 'answered with something that is not S3',
  hint: 'Check that the endpoint is that of the S3 API (not of a console or a login page), and that http and https are not mixed up.',
};
export const mixedUp: Meaning = {
  code: 'StoreUnavailable',
  says: 'does not speak the protocol of its endpoint',
  hint: 'http and https are mixed up: change the scheme of endpoint= in the URL of the store.',
};
const refused: Meaning = {
  code: 'StoreDenied',
  says: 'refused the request',
  hint: 'The cause in the log has the words of the server; docs/stores/s3.md lists what Forestay needs of it.',
};

/** By the code in the body of an answer. */
export const byServerCode: Readonly<Record<string, Meaning>> = {
  NoSuchBucket: {
    code: 'StoreDenied',
    says: 'has no such bucket',
    hint: 'Create the bucket, or correct its name, endpoint or region in the URL of the store. Forestay never creates one.',
  },
  InvalidBucketName: {
    ...refused,
    says: 'does not take this name of a bucket',
    hint: 'Correct the bucket in the URL of the store.',
  },
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  InvalidAccessKeyId: wrongKey,
  SignatureDoesNotMatch: {
    code: 'StoreDenied',
    says: 'finds the signature wrong',
    hint: 'Check AWS_SECRET_ACCESS_KEY and the region. A proxy that changes requests causes it as well.',
  },
  ExpiredToken: expired,
  InvalidToken: expired,
  TokenRefreshRequired: expired,
  AuthorizationHeaderMalformed: wrongRegion,
  PermanentRedirect: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  RequestTimeTooSkewed: skewed,
  SlowDown: busy,
  ServiceUnavailable: busy,
  Throttling: busy,
  ThrottlingException: busy,
  RequestLimitExceeded: busy,
  TooManyRequests: busy,
  InternalError: busy,
  OperationAborted: busy,
  ConditionalRequestConflict: busy,
  NoSuchUpload: {
    code: 'StoreUnavailable',
    says: 'does not know the upload any more',
    hint: 'Something removed it while it was written: a lifecycle rule for incomplete uploads needs at least two days.',
  },
  RequestTimeout: slow,
  QuotaExceeded: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  InsufficientStorage: full,
  EntityTooLarge: tooLarge,
  EntityTooSmall: {
    ...refused,
    says: 'wants larger parts',
    hint: 'Set part_size= in the URL of the store, for example part_size=16.',
  },
  KeyTooLongError: {
    code: 'BadRequest',
    says: 'does not take keys of this length',
    hint: 'Use a shorter prefix.',
  },
  InvalidObjectState: {
    code: 'StoreDenied',
    says: 'has the object in an archive, where it cannot be read at once',
    hint: 'Restore the object from the archive class with the tools of the store, and exempt the prefix from such lifecycle rules.',
  },
  BadDigest: damagedOnTheWay,
  InvalidDigest: damagedOnTheWay,
  XAmzContentSHA256Mismatch: damagedOnTheWay,
  XAmzContentChecksumMismatch: damagedOnTheWay,
  IncompleteBody: damagedOnTheWay,
  NotImplemented: unsupported,
  MethodNotAllowed: unsupported,
};

/** By the code of a Node error. */
export const byErrno: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: unreachable,
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ECONNRESET: busy,
  ECONNABORTED: busy,
  EPIPE: busy,
  ERR_STREAM_PREMATURE_CLOSE: busy,
  ERR_PROXY_TUNNEL: { ...unreachable, says: 'cannot be reached through the proxy' },
  ETIMEDOUT: slow,
  ERR_TLS_CERT_ALTNAME_INVALID: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: untrusted,
  CERT_NOT_YET_VALID: untrusted,
  EPROTO: mixedUp,
  ERR_SSL_WRONG_VERSION_NUMBER: mixedUp,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: mixedUp,
};

/** By the name that the SDK gives. */
export const byName: Readonly<Record<string, Meaning>> = {
  CredentialsProviderError: noCredentials,
  TimeoutError: slow,
};

/** Where the body says nothing, as in answers to HEAD. */
export function byStatus(status: number): Meaning {
  if (status === 401 || status === 403) return denied;
  if (status === 408 || status === 504) return slow;
  if (status === 413) return tooLarge;
  if (status === 507) return full;
  if (status === 429 || (status >= 500 && status !== 501)) return busy;
  if (status === 501 || status === 405) return unsupported;
  if (status >= 300 && status < 400) return wrongRegion;
  return refused;
}
