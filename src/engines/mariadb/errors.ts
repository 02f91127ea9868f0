import { ForestayError } from '../../core/errors.ts';
import { ChildExit } from '../../pipeline/child-process.ts';

/** Foreign errors (of the server, the network, the client tools) in the words of the catalogue. */
export function translateError(error: unknown, what: string): Error {
  if (error instanceof ForestayError) {
    return error.cause instanceof ChildExit && error.code === 'ToolFailed'
      ? translateTool(error, error.cause, what)
      : error;
  }
  const { errno, code } = (error ?? {}) as { errno?: unknown; code?: unknown };
  const text = error instanceof Error ? error.message : String(error);
  const found = (typeof errno === 'number' ? (byNumber(errno) ?? bySystem(text)) : undefined) ?? byCode(code);
  if (found)
    return new ForestayError(found.code, `${what}: ${safeText(text, errno)}`, {
      hint: found.hint,
      cause: error,
    });
  if (typeof errno === 'number' && errno > 0) {
    return new ForestayError('ToolFailed', `${what}: ${safeText(text, errno)}`, {
      cause: withoutData(errno),
    });
  }
  return error instanceof Error ? error : new Error(text);
}

/** Runs something and translates what it throws. */
export async function translating<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw translateError(error, what);
  }
}

export function errorNumber(error: unknown): number | undefined {
  const { errno } = (error ?? {}) as { errno?: unknown };
  return typeof errno === 'number' ? errno : undefined;
}

/** Whether the connection is gone, so that nobody knows what became of the last statement. */
export function isLostConnection(error: unknown): boolean {
  const { errno, code } = (error ?? {}) as { errno?: unknown; code?: unknown };
  const found = (typeof errno === 'number' ? byNumber(errno) : undefined) ?? byCode(code);
  return found === unreachable;
}

interface Meaning {
  readonly code: ForestayError['code'];
  readonly hint: string;
}

const unreachable: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check host and port, that the server runs, and that this worker may reach it; then try again.',
};
const tooMany: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'The server takes no more connections: close some, or raise max_connections or the limit of the user.',
};
const wrongLogin: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check username, password and database, and that the user may connect from the address of this worker.',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Give the user the rights that docs/engines/mariadb.md lists.',
};
const tls: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check sslmode, and that sslrootcert holds the authority that signed the certificate of the server.',
};
const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room on the server: a restore needs space for the restored data beside the present data. Nothing was changed.',
};
/** InnoDB writes the first rows of a table when they are committed, and forgets there that the disk was full (seen with 10.11). */
const notWritten: Meaning = {
  code: 'InstanceFull',
  hint: 'The server could not write the rows, most often because its disk is full; its error log says why. Make room for the restored data beside the present data. Nothing was changed.',
};
const busy: Meaning = {
  code: 'InstanceBusy',
  hint: 'Another session holds on to a table: end long transactions and sessions of other users, then try again.',
};
const tooLarge: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Raise max_allowed_packet of the server to that of the server the backup is of, then try again.',
};
const forbidden: Meaning = {
  code: 'InstanceRefused',
  hint: 'The server runs with an option that forbids this to everybody (read_only, secure_timestamp with versioned tables …): change the option, then try again.',
};
/** A table has got triggers since the restore looked. */
const otherTriggers: Meaning = {
  code: 'InstanceBusy',
  hint: 'Somebody made a trigger, or restored, at the same time: try again. Nothing was changed.',
};
const sameName: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Either somebody made a table meanwhile: then try again. Or the backup has tables whose names differ only in capitals, which this server takes for one (lower_case_table_names): then restore it into one that does not. Nothing was changed.',
};
/** Tables are locked only while their rows are read. */
const changedMeanwhile: Meaning = {
  code: 'InstanceBusy',
  hint: 'A table was dropped, renamed, emptied or altered while the backup was made: try again when nobody changes tables.',
};
const noEngine: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Install the storage engine that the tables of the backup use on the server, then try again.',
};

/** https://mariadb.com/kb/en/mariadb-error-code-reference/; those above 45000 are of the driver. */
const numbers: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  ...[1040, 1203, 1226].map((number) => [number, tooMany] as const),
  ...[1045, 1049, 1130, 1133, 1251, 1524, 1698, 1862, 3118, 4151].map(
    (number) => [number, wrongLogin] as const,
  ),
  ...[1044, 1142, 1143, 1227, 1370, 1410, 1419].map((number) => [number, noRight] as const),
  ...[1021, 1114].map((number) => [number, full] as const),
  ...[1205, 1213, 1192].map((number) => [number, busy] as const),
  [1153, tooLarge],
  [1050, sameName],
  [1290, forbidden],
  [1412, changedMeanwhile],
  [1435, otherTriggers],
  ...[1286, 1728].map((number) => [number, noEngine] as const),
  ...[1053, 1077, 1080, 1158, 1159, 1160, 1161, 1184, 1927, 1969, 2002, 2003, 2005, 2006, 2013, 2055].map(
    (number) => [number, unreachable] as const,
  ),
]);

function byNumber(errno: number): Meaning | undefined {
  return numbers.get(errno);
}

/** What the server's machine said: errno 28 (no space left) and 122 (quota), in errors of any number: 1030, 1005, 1026, 3 … */
function bySystem(text: string): Meaning | undefined {
  if (/(?:Got error|errno:|Errcode:) (?:28\b|122 "Disk quota)/.test(text)) return full;
  return /^(?:\(conn:[^)]*\) )?Got error 1 .*during COMMIT/.test(text) ? notWritten : undefined;
}

/** Errors of Node's sockets and TLS, and those of the driver. */
function byCode(code: unknown): Meaning | undefined {
  if (typeof code !== 'string') return undefined;
  if (
    /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|EPIPE|EADDRNOTAVAIL|ERR_STREAM_DESTROYED)$/.test(
      code,
    ) ||
    /^ER_(SOCKET|CMD_CONNECTION_CLOSED|CMD_NOT_EXECUTED|UNEXPECTED_CLOSED|CONNECTION_ALREADY_CLOSED|CONNECTION_TIMEOUT|CONN_PVT|FAILED_TO_CONNECT)/.test(
      code,
    )
  )
    return unreachable;
  if (/^ER_(AUTHENTICATION|CANNOT_RETRIEVE_RSA|NOT_SUPPORTED_AUTH|ACCESS_DENIED)/.test(code))
    return wrongLogin;
  if (isTlsError(code) || code === 'ER_SERVER_SSL_DISABLED') return tls;
  return undefined;
}

/** Codes of Node's TLS: a failed handshake, or a certificate that is not trusted. */
export function isTlsError(code: string): boolean {
  return /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO|ER_TLS)/.test(
    code,
  );
}

/** Errors that quote values of rows: whoever may see that a task failed need not have the right to its data. */
const quoting: ReadonlySet<number> = new Set([
  1048, 1062, 1064, 1136, 1264, 1292, 1366, 1406, 1451, 1452, 1586, 1644, 4025, 4078,
]);

function safeText(text: string, errno: unknown): string {
  const line = text
    .replace(/^\(conn:[^)]*\) /, '')
    .replace(/\s*\n[\s\S]*$/, '')
    .trim();
  if (typeof errno !== 'number' || !quoting.has(errno)) return line.slice(0, 600);
  const told = line.replaceAll(/'(?:[^'\\]|\\.|'')*'?/g, "'…'").slice(0, 300);
  return `error ${errno}: ${told}`;
}

function withoutData(errno: number): Error {
  return new Error(`error ${errno} of the server`);
}

/** To the tool, which has just been told what tables there are. */
const noSuchTable = 1146;

function translateTool(error: ForestayError, exit: ChildExit, what: string): ForestayError {
  const said = exit.stderr
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ')
    .slice(-600);
  const [, named, last] =
    /(?:Got error: |Error:? |error )(\d{4,5})|\((\d{4,5})\)\s*$/.exec(exit.stderr) ?? [];
  const errno = Number(named ?? last);
  const found = errno === noSuchTable ? changedMeanwhile : byNumber(errno);
  const [tool] = error.message.split(' ');
  // The cause is not the error itself, whose message has all that the tool said.
  if (!found) return new ForestayError('ToolFailed', `${tool} ${exit.message}: ${said}`, { cause: exit });
  return new ForestayError(found.code, `${what}: ${said}`, { hint: found.hint, cause: exit });
}
