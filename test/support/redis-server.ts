import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSession, type Session } from '../../src/engines/redis/session.ts';

import { freePort } from './free-ports.ts';
/** A private Redis server in a temp folder, for tests, the demo and measurements. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** Of the user `default`, who may do everything. */
  readonly password: string;
  readonly folder: string;
  readonly pid: number;
  /** PEM of the authority that signed the certificate; with `tls` only. */
  readonly authority?: string;
  /** What the engine takes, for the user `default` or another. */
  connection(user?: { readonly username: string; readonly password: string }): Record<string, unknown>;
  /** One command of the user `default`. */
  run(...args: Parameters<Session['command']>): ReturnType<Session['command']>;
  /** The same in a database. */
  runIn(db: number, ...args: Parameters<Session['command']>): ReturnType<Session['command']>;
  /** After it was killed: with the same data, on the same port. This one is not to be used any more. */
  startAgain(): Promise<RedisServer>;
  stop(): Promise<void>;
}

export interface RedisServerOptions {
  /** Lines of redis.conf, a name and its value each. */
  readonly settings?: Readonly<Record<string, string>>;
  /** ACL rules: `user backup on >password …`. */
  readonly users?: readonly string[];
  /** Only TLS, with a certificate for localhost of an authority of its own. */
  readonly tls?: boolean;
  /** An RDB to start with. */
  readonly rdb?: string;
}

const never = new AbortController().signal;

/** Starts a server; it ends with `stop()`, and on Linux also when this process dies. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'forestay-redis-'));
  try {
    const password = randomBytes(18).toString('base64url');
    const authority = options.tls ? makeCertificates(folder) : undefined;
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const child = await start(folder, port, password, options);
      const server = serverOf(
        child,
        { folder, port, password, ...(authority ? { authority } : {}) },
        options,
      );
      if (await isReady(server, child)) return server;
      await server.halt();
      if (attempt === 3)
        throw new Error(`Redis did not start: ${await readFile(join(folder, 'log'), 'utf8')}`);
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

export function hasRedis(): boolean {
  return ['redis-server', 'redis-cli', 'redis-check-rdb'].every((program) =>
    (process.env.PATH ?? '').split(delimiter).some((place) => {
      try {
        accessSync(join(place, program), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    }),
  );
}

async function start(
  folder: string,
  port: number,
  password: string,
  { settings, users = [], tls = false, rdb }: RedisServerOptions,
): Promise<ChildProcess> {
  const lines: Record<string, string> = {
    bind: '127.0.0.1',
    dir: folder,
    save: '""',
    'enable-debug-command': 'local',
    // Backups would begin five seconds later otherwise.
    'repl-diskless-sync-delay': '0',
    ...(tls
      ? {
          port: '0',
          'tls-port': String(port),
          'tls-cert-file': join(folder, 'server.crt'),
          'tls-key-file': join(folder, 'server.key'),
          'tls-ca-cert-file': join(folder, 'authority.crt'),
          'tls-auth-clients': 'no',
        }
      : { port: String(port) }),
    ...(rdb === undefined ? {} : { dbfilename: rdb }),
    ...settings,
  };
  const text = [
    ...Object.entries(lines).map(([name, value]) => `${name} ${value}`),
    `user default on >${password} ~* &* +@all`,
    ...users,
  ].join('\n');
  const file = join(folder, 'redis.conf');
  await writeFile(file, `${text}\n`, { mode: 0o600 });
  const log = openSync(join(folder, 'log'), 'a', 0o600);
  try {
    const command = ['redis-server', file];
    const ending = process.platform === 'linux' ? ['/usr/bin/setpriv', '--pdeathsig=KILL', '--'] : [];
    const [program = '', ...args] = [...ending, ...command];
    return spawn(program, args, {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', FORESTAY_TEST_SERVER: folder },
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
}

type Facts = Pick<RedisServer, 'folder' | 'port' | 'password' | 'authority'>;

function serverOf(
  child: ChildProcess,
  facts: Facts,
  options: RedisServerOptions,
): RedisServer & { halt(): Promise<void> } {
  const { folder, port, password, authority } = facts;
  const host = authority ? 'localhost' : '127.0.0.1';
  const tls = authority ? { tls: 'verify' as const, tls_ca: authority } : { tls: 'disable' as const };
  let sessions = new Map<number, Promise<Session>>();
  // One session for each database, so that commands can run side by side.
  const sessionIn = (db: number): Promise<Session> => {
    const open = async () => {
      const session = await openSession({ host, port, password, ...tls }, { signal: never, name: 'test' });
      if (db !== 0) await session.command('SELECT', db);
      return session;
    };
    const found = sessions.get(db) ?? open();
    sessions.set(db, found);
    found.catch(() => sessions.delete(db));
    return found;
  };
  const halt = async () => {
    for (const session of sessions.values()) (await session.catch(() => undefined))?.close();
    sessions = new Map();
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await exited;
    }
  };
  return {
    ...facts,
    host,
    pid: child.pid ?? 0,
    connection: (user) => ({ host, port, ...(user ?? { password }), ...tls }),
    run: async (...args) => (await sessionIn(0)).command(...args),
    runIn: async (db, ...args) => (await sessionIn(db)).command(...args),
    halt,
    async startAgain() {
      await halt();
      const next = await start(folder, port, password, options);
      const server = serverOf(next, facts, options);
      if (await isReady(server, next)) return server;
      await server.halt();
      throw new Error(`Redis did not start again: ${await readFile(join(folder, 'log'), 'utf8')}`);
    },
    async stop() {
      await halt();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function isReady(server: RedisServer, child: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    const answer = await server.run('PING').catch(() => undefined);
    if (String(answer) === 'PONG') return true;
    await sleep(20);
  }
  return false;
}

/** An authority, and a certificate of it for localhost; resolves with the authority's PEM. */
function makeCertificates(folder: string): string {
  const openssl = (text: string) => execFileSync('openssl', text.split(' '), { cwd: folder, stdio: 'pipe' });
  openssl(
    'req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -days 2 -keyout authority.key -out authority.crt',
  );
  openssl(
    'req -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout server.key -out server.csr',
  );
  openssl(
    'x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -copy_extensions copy -days 2 -out server.crt',
  );
  return readFileSync(join(folder, 'authority.crt'), 'utf8');
}
