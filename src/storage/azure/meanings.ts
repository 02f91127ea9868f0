import type { ErrorCode } from '../../core/errors.ts';

/**
 * What the errors of Azure's blob service, of the network and of TLS mean to the port, and to an operator. The codes are those of
 * https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and of the page of common ones.
 */
export interface Meaning {
  readonly code: ErrorCode;
  /** Follows "The store … ". */
  readonly says: string;
  readonly hint: string;
}

const wrongKey: Meaning = {
  code: 'StoreDenied',
  says: 'does not take these credentials',
  hint: 'Check AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING: a key must be that of this account, a signature must not have expired.',
};
const denied: Meaning = {
  code: 'StoreDenied',
  says: 'does not allow this',
  hint: 'Check that key or signature are those of this account, that they have the rights that docs/stores/azure.md lists, and what the firewall of the account says.',
};
export const skewed: Meaning = {
  code: 'StoreDenied',
  says: 'has another time than this machine',
  hint: 'Set the clock of this machine, best by NTP: requests are signed with the time, and 15 minutes are too much.',
};
const busy: Meaning = {
  code: 'StoreUnavailable',
  says: 'is overloaded or has a fault',
  hint: 'It is tried again by itself. If it stays so, look at the status of Azure or the log of the server.',
};
const slow: Meaning = {
  code: 'StoreTimeout',
  says: 'did not answer in time',
  hint: 'It is tried again by itself. If it stays so, check the network and the load of the store; fewer parallel blocks (parallel=1) help slow links.',
};
const full: Meaning = {
  code: 'StoreFull',
  says: 'is full',
  hint: 'Raise the limits of the storage account or free space; shorter retention times also free space.',
};
const tooLarge: Meaning = {
  code: 'StoreFull',
  says: 'does not take objects of this size',
  hint: 'Larger blocks make larger objects possible: set block_size= in the URL of the store, for example block_size=64.',
};
const damagedOnTheWay: Meaning = {
  code: 'StoreUnavailable',
  says: 'received other bytes than were sent',
  hint: 'It is tried again by itself. If it stays so, something between this machine and the store changes what passes.',
};
const locked: Meaning = {
  code: 'StoreDenied',
  says: 'has the object locked',
  hint: 'A lease, a legal hold or an immutability policy holds it: exempt the prefix of the store from them.',
};
const archived: Meaning = {
  code: 'StoreDenied',
  says: 'has the object in the archive tier, where it cannot be read at once',
  hint: 'Rehydrate the object with the tools of Azure, and exempt the prefix from such lifecycle rules.',
};
const noContainer: Meaning = {
  code: 'StoreDenied',
  says: 'has no such container',
  hint: 'Create the container, or correct its name or the endpoint in the URL of the store. Forestay never creates one.',
};
const unsupported: Meaning = {
  code: 'StoreDenied',
  says: 'cannot do this',
  hint: 'The account must have block blobs (general purpose v2, or premium block blobs); docs/stores/azure.md says what is needed.',
};
const unreachable: Meaning = {
  code: 'StoreUnavailable',
  says: 'cannot be reached',
  hint: 'Check the name of the account, the endpoint, DNS, firewalls and the proxy (HTTPS_PROXY, NO_PROXY).',
};
const untrusted: Meaning = {
  code: 'StoreDenied',
  says: 'shows a certificate that this machine does not trust',
  hint: 'If the authority is your own, name its certificate with ca_file=/path.pem in the URL of the store. Otherwise check the name and the date of the certificate.',
};
export const notAzure: Meaning = {
  code: 'StoreUnavailable',
  says: 'answered with something that is not the blob service of Azure',
  hint: 'Check that the endpoint is that of the blob service (not of a portal or a login page), and that http and https are not mixed up.',
};
const mixedUp: Meaning = {
  code: 'StoreUnavailable',
  says: 'does not speak the protocol of its endpoint',
  hint: 'http and https are mixed up: change the scheme of endpoint= in the URL of the store.',
};
const refused: Meaning = {
  code: 'StoreDenied',
  says: 'refused the request',
  hint: 'The cause in the log has the words of the server; docs/stores/azure.md lists what Forestay needs of it.',
};

/** By the code in the answer. */
export const byServerCode: Readonly<Record<string, Meaning>> = {
  ContainerNotFound: noContainer,
  ResourceNotFound: noContainer,
  ContainerDisabled: noContainer,
  ContainerBeingDeleted: { ...noContainer, says: 'is just deleting the container' },
  AuthenticationFailed: wrongKey,
  InvalidAuthenticationInfo: wrongKey,
  NoAuthenticationInformation: wrongKey,
  AuthorizationFailure: denied,
  AuthorizationPermissionMismatch: denied,
  AuthorizationResourceTypeMismatch: denied,
  AuthorizationServiceMismatch: denied,
  AuthorizationSourceIPMismatch: denied,
  InsufficientAccountPermissions: denied,
  PublicAccessNotPermitted: denied,
  AuthorizationProtocolMismatch: {
    ...denied,
    hint: 'The shared access signature is for https only: write endpoint=https://…',
  },
  KeyBasedAuthenticationNotPermitted: {
    ...denied,
    hint: 'The storage account refuses its keys ("Allow storage account key access"): allow them, or use a user delegation signature.',
  },
  AccountRequiresHttps: { ...mixedUp, code: 'StoreDenied' },
  AccountIsDisabled: { ...denied, says: 'has a disabled account' },
  ServerBusy: busy,
  InternalError: busy,
  AccountBeingCreated: busy,
  OperationTimedOut: slow,
  InvalidBlockList: {
    code: 'StoreUnavailable',
    says: 'does not have all blocks any more',
    hint: 'Another process wrote the same object at the same time. If not, something removes blocks that are not a week old.',
  },
  BlockCountExceedsLimit: tooLarge,
  BlockListTooLong: tooLarge,
  RequestBodyTooLarge: {
    ...tooLarge,
    hint: 'The account takes only smaller blocks: set block_size= in the URL of the store, for example block_size=4.',
  },
  Md5Mismatch: damagedOnTheWay,
  InvalidMd5: damagedOnTheWay,
  Crc64Mismatch: damagedOnTheWay,
  BlobArchived: archived,
  BlobBeingRehydrated: archived,
  BlobImmutableDueToPolicy: locked,
  LeaseIdMissing: locked,
  SnapshotsPresent: locked,
  InvalidBlobType: unsupported,
  BlobTypeNotSupported: unsupported,
  FeatureVersionMismatch: unsupported,
  InsufficientStorage: full,
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

/** By the name that the SDK gives. An abort that is not ours is a connection that broke while it was read. */
export const byName: Readonly<Record<string, Meaning>> = { AbortError: busy };

/** Where the answer has no code. */
export function byStatus(status: number): Meaning {
  if (status === 401 || status === 403) return denied;
  if (status === 408 || status === 504) return slow;
  if (status === 413) return tooLarge;
  if (status === 507) return full;
  if (status === 429 || (status >= 500 && status !== 501)) return busy;
  if (status === 501 || status === 405) return unsupported;
  if (status >= 300 && status < 400) return notAzure;
  return refused;
}
