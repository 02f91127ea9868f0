import { ForestayError } from '../../core/errors.ts';
import { ChildExit } from '../../pipeline/child-process.ts';

/** Foreign errors (of the server, the network, the client tools) in the words of the catalogue. */
export function translateError(error: unknown, what: string): Error {
  if (error instanceof ForestayError) {
    return error.cause instanceof ChildExit && error.code === 'ToolFailed'
      ? translateTool(error, error.cause, what)
      : error;
  }
  const code = (error as { code?: unknown } | null)?.code;
  const text = error instanceof Error ? error.message : String(error);
  const translated = typeof code === 'string' ? byCode(code) : undefined;
  const found = translated ?? byText(text);
  if (found)
    return new ForestayError(found.code, `${what}: ${oneLine(text)}`, { hint: found.hint, cause: error });
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) {
    return new ForestayError('ToolFailed', `${what}: ${oneLine(text)}`, { cause: error });
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
  hint: 'The server takes no more connections: close some, or raise max_connections or the connection limit.',
};
const wrongLogin: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check username, password and database, and that pg_hba.conf lets this worker in.',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Connect as the owner of the database and of everything in it, or as a role with superuser.',
};
const tls: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check sslmode, and that sslrootcert holds the authority that signed the certificate of the server.',
};
const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room on the server: a restore needs space for the restored data beside the present data. Nothing was changed.',
};
const busy: Meaning = {
  code: 'InstanceBusy',
  hint: 'Another session holds on to the database: end long transactions and sessions of other roles, then try again.',
};
const nameTaken: Meaning = {
  code: 'InstanceRefused',
  hint: 'A database that is not of this restore is in the way: have it dropped or renamed, then restore again. Nothing was changed.',
};
const locks: Meaning = {
  code: 'InstanceFull',
  hint: 'Raise max_locks_per_transaction of the server, or restore with a role that may create databases (CREATEDB).',
};
const noExtension: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Install the packages of the missing extensions on the server, then try again.',
};
/** Tables are locked only when their turn comes. */
const changedMeanwhile: Meaning = {
  code: 'InstanceBusy',
  hint: 'Something was dropped or renamed while the backup was made: try again when nobody changes tables.',
};
const brokenByOwn: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'A function of the backup names things without their schema, and a restore runs with an empty search_path: give it one (ALTER FUNCTION … SET search_path = …) and back up again. docs/engines/postgresql.md says how to rescue this backup ("Backups that do not load"). Nothing was changed.',
};
const brokenRows: Meaning = {
  code: 'IncompatibleBackup',
  hint: 'Rows of the backup break a constraint that is in it, too. docs/engines/postgresql.md says how to rescue it ("Backups that do not load"). Nothing was changed.',
};
const tooOld: Meaning = {
  code: 'ToolMissing',
  hint: 'Install newer PostgreSQL client tools on the worker, for example: apt-get install postgresql-client-17',
};

/** SQLSTATE codes (PostgreSQL manual, appendix A) and errors of Node's sockets and TLS. */
function byCode(code: string): Meaning | undefined {
  if (
    /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|EPIPE|EADDRNOTAVAIL)$/.test(
      code,
    )
  )
    return unreachable;
  if (/^(08...|57P0[1-5])$/.test(code)) return unreachable;
  if (code === '53300') return tooMany;
  if (/^(28...|3D000)$/.test(code)) return wrongLogin;
  if (code === '42501') return noRight;
  if (code === '53100') return full;
  if (code === '53200') return locks;
  if (code === '42P04') return nameTaken;
  if (/^(55006|55P03|40P01)$/.test(code)) return busy;
  if (isTlsError(code)) return tls;
  return undefined;
}

/**
 * For tools, which give no codes. Their own messages are in English (LC_ALL=C); those of the server are in its language,
 * so this only makes errors clearer: whether something failed never depends on it.
 */
const texts: readonly (readonly [RegExp, Meaning])[] = [
  [/unsupported version \(|server version mismatch/, tooOld],
  [/could not (extend|write|create) .*No space left on device|could not extend file|disk full/i, full],
  [/could not obtain lock on relation/, busy],
  [/out of shared memory|max_locks_per_transaction/, locks],
  [/sorry, too many clients|remaining connection slots|too many connections for/, tooMany],
  [
    /password authentication failed|no pg_hba.conf entry|no password supplied|role "[^\n]*" is not permitted to log in/,
    wrongLogin,
  ],
  [/FATAL: +(database|role) "[^\n]*" does not exist/, wrongLogin],
  [/SSL (error|connections?)|certificate|server does not support SSL/i, tls],
  [/row-level security/, noRight],
  [
    /extension "[^\n]*" is not available|could not open extension control file|could not access file "[^\n]*": No such file/,
    noExtension,
  ],
  [/lock timeout|being accessed by other users|canceling statement due to statement timeout/, busy],
  [/permission denied|must be (owner|superuser|member)|must be able to SET ROLE|Must be superuser/, noRight],
  [
    /connection to server|could not connect|Connection (refused|terminated|reset)|timeout expired|could not translate host name/,
    unreachable,
  ],
  [
    /server closed the connection|terminating connection|SSL SYSCALL|no connection to the server|connection pointer is NULL/,
    unreachable,
  ],
];

const missing = /ERROR: +(?:[0-9A-Z]{5}: )?(?:function|relation|operator|type) [^\n]* does not exist/;
/** What tells other things of a tool that reads a database than of one that builds it. */
const textsOfDump: typeof texts = [[missing, changedMeanwhile]];
const textsOfRestore: typeof texts = [
  [missing, brokenByOwn],
  [/ERROR: [^\n]*violates [a-z -]+ constraint|could not create unique index/, brokenRows],
];

/** Codes of Node's TLS: a failed handshake, or a certificate that is not trusted. */
export function isTlsError(code: string): boolean {
  return /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|EPROTO)/.test(code);
}

function byText(text: string, more: typeof texts = []): Meaning | undefined {
  // Loss of the connection comes last in the list, but what it ended with is at the end of what a tool says.
  return [...texts, ...more].find(([pattern]) => pattern.test(text))?.[1];
}

function translateTool(error: ForestayError, exit: ChildExit, what: string): ForestayError {
  const [tool] = error.message.split(' ');
  const found = byText(exit.stderr, tool === 'pg_dump' ? textsOfDump : textsOfRestore);
  const said = oneLine(withoutData(exit.stderr)).slice(-600);
  // The cause is not the error itself, whose message has all that the tool said.
  if (!found) return new ForestayError('ToolFailed', `${tool} ${exit.message}: ${said}`, { cause: exit });
  return new ForestayError(found.code, `${what}: ${said}`, { hint: found.hint, cause: exit });
}

/** Lines that begin what may quote rows, statements and the passwords in them, and lines that begin something else. */
const quoting =
  /^(?:(?:psql|pg_\w+):.*?)?\b(?:DETAIL|CONTEXT|QUERY|STATEMENT|LOCATION|LINE \d+|Command was|detail|Query was): /;
const telling = /^(?:(?:psql|pg_dump|pg_restore):|(?:HINT|ERROR|FATAL|PANIC): )/;

/** What a tool said, without what it quoted: whoever may see that a task failed need not have the right to its data. */
function withoutData(stderr: string): string {
  let quotes = false;
  const told = stderr.split('\n').filter((line) => {
    if (quoting.test(line)) quotes = true;
    else if (telling.test(line)) quotes = false;
    return !quotes;
  });
  return told.join('\n');
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ');
}
