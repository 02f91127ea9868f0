import { type ErrorCode, ForestayError } from '../../core/errors.ts';
import { ReplyError } from './resp.ts';

/** Foreign errors (of the server, the network, TLS) in the words of the catalogue. */
export function translateError(error: unknown, what: string): Error {
  if (error instanceof ForestayError) return error;
  if (error instanceof ReplyError) {
    const [, meaning] = replies.find(([pattern]) => pattern.test(error.message)) ?? [];
    // No cause: what a server quotes of a command may be data.
    const text = withoutArguments(error.message);
    return new ForestayError(meaning?.code ?? 'ToolFailed', `${what}: ${text}`, {
      hint: meaning?.hint ?? asking,
    });
  }
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string') return error instanceof Error ? error : new Error(String(error));
  if (networkCodes.test(code)) return translated(unreachable, what, code, error);
  if (tlsCodes.test(code)) return translated(tls, what, code, error);
  return error instanceof Error ? error : new Error(String(error));
}

/** Runs something and translates what it throws. */
export async function translating<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw translateError(error, what);
  }
}

interface Meaning {
  readonly code: ErrorCode;
  readonly hint: string;
}

export const unreachable: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check host and port, that the server runs, and that this worker may reach it; then try again.',
};
const notReady: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'The server is there, but cannot answer yet. Try again when it has loaded its data and reached its master.',
};
const tooMany: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'The server takes no more connections: close some, or raise maxclients.',
};
const wrongLogin: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check username and password; without a username the password is that of the user "default".',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Give the ACL user the rights that docs/engines/redis.md lists for backups and restores.',
};
const protectedMode: Meaning = {
  code: 'InstanceRefused',
  hint: 'The server is in protected mode: give it a password, or let it listen for this worker.',
};
const replica: Meaning = {
  code: 'InstanceRefused',
  hint: 'Register the master: a replica takes no writes, so nothing can be restored into it.',
};
const tls: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check tls, that tls_ca holds the authority that signed the certificate of the server, and that the host is a name in it.',
};
const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room: a restore needs memory for the restored data beside the present data. Raise maxmemory for its time. Nothing was changed.',
};
const cannotPersist: Meaning = {
  code: 'InstanceRefused',
  hint: 'The server cannot write to its disk and takes no writes until it can. See its log.',
};
const busy: Meaning = {
  code: 'InstanceBusy',
  hint: 'A script or another job keeps the server busy. Try again later.',
};
const incompatible: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Restore into a server of the same or a newer version, with the same modules. Nothing was changed.',
};
const tooLarge: Meaning = {
  code: 'InstanceRefused',
  hint: 'A value is larger than the server takes in one piece: raise proto-max-bulk-len, then try again. Nothing was changed.',
};
const notRedis: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check the port, and whether the server wants TLS.',
};
const asking = 'The log of the server may say more.';

/** What errors of Redis begin with (src/server.c, createSharedObjects), and texts where there is no word of its own. */
const replies: readonly (readonly [RegExp, Meaning])[] = [
  [/^(WRONGPASS|NOAUTH)|invalid password|no password is set|without any password configured/, wrongLogin],
  [/^NOPERM/, noRight],
  [/^DENIED/, protectedMode],
  [/^OOM/, full],
  [/^READONLY|read-only replica/, replica],
  [/^(LOADING|MASTERDOWN|NOMASTERLINK|NOREPLICAS)/, notReady],
  [/^MISCONF/, cannotPersist],
  [/^(BUSY |NOTBUSY|UNBLOCKED)/, busy],
  [/max number of clients/, tooMany],
  [/Bad data format|DUMP payload version|checksum are wrong|Module/, incompatible],
  [/invalid bulk length/, tooLarge],
  [/does not speak the protocol/, notRedis],
];

const networkCodes =
  /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|EPIPE|EADDRNOTAVAIL|EINVAL|EACCES)$/;
/** Codes of Node's TLS: a failed handshake, or a certificate that is not trusted. */
const tlsCodes =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO)/;

function translated(meaning: Meaning, what: string, code: string, cause: unknown): ForestayError {
  return new ForestayError(meaning.code, `${what} (${code}).`, { hint: meaning.hint, cause });
}

function withoutArguments(text: string): string {
  return text.replace(/,? with args beginning with:.*$/s, '').slice(0, 400);
}
