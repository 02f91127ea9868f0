import type { ConnectionOptions } from 'node:tls';
import { rootCertificates } from 'node:tls';
import pg from 'pg';
import { abortError } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { isTlsError, translateError } from './errors.ts';
import { settingsSql } from './settings.ts';

/** A session of our own at the server. */
export interface Session {
  query<Row extends pg.QueryResultRow = Record<string, unknown>>(
    sql: string,
    values?: readonly unknown[],
  ): Promise<Row[]>;
  /** Process id of the server's backend. */
  pid(): Promise<number>;
  close(): Promise<void>;
}

export interface SessionOptions {
  readonly signal: AbortSignal;
  /** What the server lists the session as; restores are found and ended by it. */
  readonly applicationName: string;
  /** Instead of the target's. */
  readonly database?: string;
}

const connectTimeoutMs = 15_000;

/** Connects as libpq would with the same `sslmode`. An abort ends the session at once. Throws translated errors. */
export async function openSession(target: Target, options: SessionOptions): Promise<Session> {
  throwIfAborted(options.signal);
  let client: pg.Client;
  try {
    client = await connect(target, options, target.sslmode !== 'disable');
  } catch (error) {
    throwIfAborted(options.signal);
    if (target.sslmode !== 'prefer' || !mayTryPlain(error))
      throw translateError(error, `No connection to ${target.host}`);
    try {
      client = await connect(target, options, false);
    } catch (plainError) {
      throwIfAborted(options.signal);
      throw translateError(plainError, `No connection to ${target.host}`);
    }
  }
  return sessionOf(client, options.signal);
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

/** What libpq answers with a second try in plain: no TLS at the server, a failed handshake, a refusal by pg_hba.conf. */
function mayTryPlain(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  return code === '28000' || isTlsError(code) || /SSL connection/.test(message);
}

/**
 * Before anything else is said: names without a schema are those of PostgreSQL itself. The owner of a database decides about its
 * search_path and could put functions of their own before those that we call, with the rights of the role that connects.
 */
const trustedNamesOnly = `SELECT pg_catalog.set_config('search_path', '', false)`;

async function connect(target: Target, options: SessionOptions, useTls: boolean): Promise<pg.Client> {
  const client = new pg.Client({
    host: target.host,
    port: target.port,
    database: options.database ?? target.database,
    user: target.username,
    // A function, because an empty string would make the driver look into the environment and ~/.pgpass.
    password: () => target.password,
    ssl: useTls ? tlsOptions(target) : false,
    application_name: options.applicationName,
    client_encoding: 'UTF8',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  });
  // A lost connection shows in the next query; without a listener it would end the process.
  client.on('error', () => {});
  const stop = () => destroy(client);
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    await client.connect();
    await client.query(`${trustedNamesOnly}; ${settingsSql}`);
    return client;
  } catch (error) {
    destroy(client);
    throw error;
  } finally {
    options.signal.removeEventListener('abort', stop);
  }
}

/** https://www.postgresql.org/docs/current/libpq-ssl.html, table 32.1; where there is a root certificate, it is checked in every mode. */
function tlsOptions(target: Target): ConnectionOptions {
  const { sslmode, sslrootcert, sslcert, sslkey } = target;
  const checksAuthority = sslmode === 'verify-full' || sslrootcert !== undefined;
  return {
    rejectUnauthorized: checksAuthority,
    ...(checksAuthority ? { ca: trustedCertificates(target) } : {}),
    ...(sslmode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(sslcert && sslkey ? { cert: sslcert, key: sslkey } : {}),
  };
}

/** Without certificates of its own, verify-full trusts the public authorities (libpq calls that `system`). */
export function trustedCertificates(target: Target): string {
  return target.sslrootcert ?? rootCertificates.join('\n');
}

function sessionOf(client: pg.Client, signal: AbortSignal): Session {
  const stop = () => destroy(client);
  signal.addEventListener('abort', stop, { once: true });
  const query: Session['query'] = async <Row extends pg.QueryResultRow>(
    sql: string,
    values?: readonly unknown[],
  ) => {
    try {
      throwIfAborted(signal);
      const result = await client.query<Row>(sql, values as unknown[] | undefined);
      return result.rows;
    } catch (error) {
      throwIfAborted(signal);
      throw lostConnection(error);
    }
  };
  return {
    query,
    pid: async () => (await query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]?.pid ?? 0,
    close: async () => {
      signal.removeEventListener('abort', stop);
      const timer = setTimeout(stop, 2000);
      await client.end().catch(() => {});
      clearTimeout(timer);
    },
  };
}

/** The driver has no code for it. */
function lostConnection(error: unknown): unknown {
  const text = error instanceof Error ? error.message : '';
  if (!/Connection terminated|not queryable|Client was closed/.test(text)) return error;
  return Object.assign(new Error('The connection to the server was lost.', { cause: error }), {
    code: '08006',
  });
}

/** The server notices at its next read or write; nothing of ours waits for it. */
function destroy(client: pg.Client): void {
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  stream.destroy();
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortError(signal);
}
