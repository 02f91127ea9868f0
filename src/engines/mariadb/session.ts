import { createConnection as connectSocket, type Socket } from 'node:net';
import { rootCertificates } from 'node:tls';
import { createConnection, type Connection as Driver } from 'mariadb';
import { abortError, onAbort } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { isTlsError, translateError } from './errors.ts';
import { usualSilenceMs, watchSilence } from './silence.ts';

/** A session of our own at the server. One statement at a time, never several in one text. */
export interface Session {
  query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** The server's id of the session, as `KILL` takes it. */
  readonly id: number;
  readonly usesTls: boolean;
  /** From now on statements are bytes, one to a character, in UTF-8; see `load.ts`. */
  speakBytes(): Promise<void>;
  close(): Promise<void>;
}

export interface SessionOptions {
  readonly signal: AbortSignal;
  /** How long the server may answer nothing without being at work, in milliseconds; 15 minutes by default. */
  readonly silenceMs?: number;
}

const connectTimeoutMs = 15_000;

/** A variable of each session with the `sql_select_limit` that the server gave it. */
export const selectLimitAtFirst = '@forestay_select_limit';

/** What the statements of this engine count on, whatever the server's defaults are. */
const settings = [
  'SET NAMES utf8mb4',
  `SET ${selectLimitAtFirst} = @@SESSION.sql_select_limit`,
  "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', sql_quote_show_create = 1, autocommit = 1, " +
    // What the server reads for us is not to be cut, and a session that waits for the bytes of a backup not to be ended.
    'sql_select_limit = 18446744073709551615, sql_big_selects = 1, wait_timeout = 31536000',
  'SET SESSION TRANSACTION READ WRITE',
  // The driver would follow changes of the character set, which this engine makes for moments only.
  "SET SESSION session_track_system_variables = ''",
];

/** Connects without choosing a database. An abort ends the session at once. Throws translated errors. */
export async function openSession(target: Target, options: SessionOptions): Promise<Session> {
  throwIfAborted(options.signal);
  const attempt = async (useTls: boolean) => {
    try {
      return await connect(target, options, useTls);
    } catch (error) {
      throwIfAborted(options.signal);
      throw error;
    }
  };
  try {
    return await attempt(target.sslmode !== 'disable').catch((error: unknown) => {
      if (target.sslmode !== 'prefer' || !mayTryPlain(error)) throw error;
      return attempt(false);
    });
  } catch (error) {
    throwIfAborted(options.signal);
    throw translateError(error, `No connection to ${target.host}`);
  }
}

/** Opens a session, hands it over, closes it. */
export async function withSession<T>(
  target: Target,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(target, options);
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}

/** What `prefer` answers with a second try in plain: no TLS at the server, or a handshake that failed. */
function mayTryPlain(error: unknown): boolean {
  const { code = '' } = error as { code?: string };
  return code === 'ER_SERVER_SSL_DISABLED' || isTlsError(code);
}

async function connect(target: Target, options: SessionOptions, useTls: boolean): Promise<Session> {
  const socket = connectSocket({ host: target.host, port: target.port, noDelay: true, keepAlive: true });
  // A lost connection shows in the next query; without a listener it would end the process.
  socket.on('error', () => {});
  const release = onAbort(options.signal, (error) => socket.destroy(error));
  try {
    await connected(socket);
    const driver = await createConnection({
      host: target.host,
      port: target.port,
      user: target.username,
      password: target.password,
      stream: (callback: (error?: Error, stream?: Socket) => void) => callback(undefined, socket),
      ...(useTls ? { ssl: tlsOptions(target) } : {}),
      connectTimeout: connectTimeoutMs,
      charset: 'utf8mb4',
      bigIntAsNumber: true,
      decimalAsNumber: true,
      dateStrings: true,
      // Neither files of this machine nor several statements in one text.
      permitLocalInfile: false,
      multipleStatements: false,
      allowPublicKeyRetrieval: target.sslmode === 'disable' || target.sslmode === 'prefer',
      logParam: false,
    });
    driver.on('error', () => {});
    const session = sessionOf(driver, socket, { target, useTls, ...options });
    try {
      for (const setting of settings) await session.query(setting);
      // MariaDB only: our statements take as long as there is data.
      await session.query('SET SESSION max_statement_time = 0').catch(() => {});
    } catch (error) {
      await session.close();
      throw error;
    }
    return session;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    release();
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' }));
    }, connectTimeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' }));
    });
  });
}

/** A given authority is checked in every mode; only `verify-full` checks the name of the server, too. */
function tlsOptions(target: Target) {
  const { sslmode, sslrootcert, sslcert, sslkey } = target;
  const checksAuthority = sslmode === 'verify-full' || sslrootcert !== undefined;
  return {
    rejectUnauthorized: checksAuthority,
    ...(checksAuthority ? { ca: trustedCertificates(target) } : {}),
    ...(sslmode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(sslcert && sslkey ? { cert: sslcert, key: sslkey } : {}),
  };
}

/** Without certificates of its own, verify-full trusts the public authorities. */
export function trustedCertificates(target: Target): string {
  return target.sslrootcert ?? rootCertificates.join('\n');
}

interface Facts extends SessionOptions {
  readonly target: Target;
  readonly useTls: boolean;
}

function sessionOf(driver: Driver, socket: Socket, facts: Facts): Session {
  const { target, useTls, signal, silenceMs = usualSilenceMs } = facts;
  const release = onAbort(signal, (error) => socket.destroy(error));
  const id = driver.threadId ?? 0;
  let hangs: Error | undefined;
  const withAnother: Parameters<typeof watchSilence>[0]['withAnother'] = (patience, use) =>
    withSession(target, { signal: patience, silenceMs: Number.POSITIVE_INFINITY }, use);
  const watch = () => {
    if (silenceMs === Number.POSITIVE_INFINITY) return () => {};
    return watchSilence({ socket, sessionId: id, silenceMs, withAnother }, (error) => {
      hangs = error;
      socket.destroy(error);
    });
  };
  const query: Session['query'] = async <Row>(sql: string, values?: readonly unknown[]) => {
    throwIfAborted(signal);
    const answered = watch();
    try {
      const result: unknown = await driver.query(sql, values);
      return (Array.isArray(result) ? result : []) as Row[];
    } catch (error) {
      throwIfAborted(signal);
      throw hangs ?? withoutStatement(error);
    } finally {
      answered();
    }
  };
  return {
    query,
    id,
    usesTls: useTls,
    speakBytes: () => speakBytes(query),
    close: async () => {
      release();
      const timer = setTimeout(() => socket.destroy(), 2000);
      await driver.end().catch(() => {});
      clearTimeout(timer);
      socket.destroy();
    },
  };
}

/**
 * The driver encodes statements in the character set that the server last told it, and takes only texts. Told latin1, it
 * sends each character as one byte; then the server is told the truth, and to tell nothing more of it.
 */
async function speakBytes(query: Session['query']): Promise<void> {
  await query("SET SESSION session_track_system_variables = 'character_set_client'");
  await query('SET character_set_client = latin1');
  await query("SET SESSION session_track_system_variables = ''");
  await query('SET NAMES utf8mb4');
  const [row] = await query<{ hex: string }>("SELECT HEX('\u00c3\u00a9') AS hex");
  if (row?.hex !== 'C3A9') throw new Error('the driver does not send bytes as they are');
}

/** The driver puts the statement, and with it rows of users, into its errors. */
function withoutStatement(error: unknown): unknown {
  const { code, errno, sqlState, sqlMessage, fatal } = error as Partial<
    Record<'code' | 'sqlState' | 'sqlMessage', string>
  > & { errno?: number; fatal?: boolean };
  if (sqlMessage === undefined || sqlMessage === null) return error;
  return Object.assign(new Error(sqlMessage), { code, errno, sqlState, fatal });
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortError(signal);
}
