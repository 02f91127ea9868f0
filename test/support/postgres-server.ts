import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { freePort } from './free-ports.ts';
/** A private PostgreSQL server in a temp folder, for tests, the demo and measurements. */
export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  /** Superuser `postgres`, database `postgres`, random password. */
  readonly adminUrl: string;
  readonly dataDir: string;
  /** Process id of the postmaster. */
  readonly pid: number;
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  /** Faster, and unsafe when the machine (not the server) crashes. Default: fsync stays on. */
  readonly fsync?: 'on' | 'off';
  /** Settings of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** PEM of the server's certificate and key: the server then offers TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** pg_hba.conf; the default asks everybody for a password (scram-sha-256). */
  readonly hba?: string;
  /** Folder with `initdb` and `postgres`. Default: the newest one of the machine. */
  readonly binDir?: string;
}

/** Starts a server; it ends with `stop()`, and on Linux also when this process dies. */
export async function startPostgresServer(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const binDir = options.binDir ?? findServerBinaries();
  if (!binDir) throw new Error('No PostgreSQL server found. Install it with: apt-get install postgresql');
  const user = await serverUser();
  const dataDir = await mkdtemp(join(tmpdir(), 'forestay-postgres-'));
  try {
    const password = randomBytes(18).toString('base64url');
    const log = join(dataDir, 'server.log');
    const own = async (path: string) => {
      if (user) await chown(path, user.uid, user.gid);
    };
    await own(dataDir);
    const passwordFile = join(dataDir, 'password');
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
    await writeFile(log, '', { mode: 0o600 });
    await Promise.all([own(passwordFile), own(log)]);

    const data = join(dataDir, 'data');
    const initdb = start(
      join(binDir, 'initdb'),
      [
        '-D',
        data,
        '-U',
        'postgres',
        '--auth=scram-sha-256',
        `--pwfile=${passwordFile}`,
        '-E',
        'UTF8',
        '--locale=C.UTF-8',
        '-N',
      ],
      { user, dataDir, log },
    );
    const [code] = (await once(initdb, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`initdb failed: ${await readFile(log, 'utf8')}`);
    await rm(passwordFile);
    const write = async (name: string, text: string) => {
      await writeFile(join(data, name), text, { mode: 0o600 });
      await own(join(data, name));
    };
    if (options.hba) await write('pg_hba.conf', options.hba);
    if (options.tls) {
      await write('server.crt', options.tls.cert);
      await write('server.key', options.tls.key);
    }
    const settings: Record<string, string> = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      fsync: options.fsync ?? 'on',
      max_connections: '60',
      ...(options.fsync === 'off' ? { full_page_writes: 'off', synchronous_commit: 'off' } : {}),
      ...(options.tls ? { ssl: 'on' } : {}),
      ...options.settings,
    };
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const args = [
        '-D',
        data,
        '-p',
        String(port),
        ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`]),
      ];
      const postmaster = start(join(binDir, 'postgres'), args, { user, dataDir, log });
      const adminUrl = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
      if (await isReady(adminUrl, postmaster)) {
        return {
          host: '127.0.0.1',
          port,
          adminUrl,
          dataDir,
          pid: postmaster.pid ?? 0,
          stop: async () => {
            await stopServer(postmaster);
            await rm(dataDir, { recursive: true, force: true });
          },
        };
      }
      await stopServer(postmaster);
      if (attempt === 3)
        throw new Error(`The server did not start: ${(await readFile(log, 'utf8')).slice(-2000)}`);
    }
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** The folder with the newest server binaries of this machine. */
export function findServerBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql';
  let versions: string[] = [];
  try {
    versions = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
  } catch {
    // Not a Debian machine: the path may know.
  }
  const folders = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  return folders.find(
    (folder) => isExecutable(join(folder, 'initdb')) && isExecutable(join(folder, 'postgres')),
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

type User = { uid: number; gid: number };

/** PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`. */
async function serverUser(): Promise<User | undefined> {
  if (userInfo().uid !== 0) return undefined;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry = lines.find(([name]) => name === 'postgres') ?? lines.find(([name]) => name === 'nobody');
  if (!entry) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody.');
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

/** `setpriv --pdeathsig` ends the server with the process that started it, however that one ends. */
function start(
  command: string,
  args: string[],
  { user, dataDir, log }: { user: User | undefined; dataDir: string; log: string },
): ChildProcess {
  const output = openSync(log, 'a');
  try {
    const env = { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', FORESTAY_TEST_SERVER: dataDir };
    const stdio: ['ignore', number, number] = ['ignore', output, output];
    if (process.platform === 'linux' && isExecutable('/usr/bin/setpriv')) {
      const identity = user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : [];
      return spawn('/usr/bin/setpriv', [...identity, '--pdeathsig=INT', '--', command, ...args], {
        cwd: dataDir,
        env,
        stdio,
      });
    }
    return spawn(command, args, { cwd: dataDir, env, stdio, ...user });
  } finally {
    closeSync(output);
  }
}

async function isReady(adminUrl: string, postmaster: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline && postmaster.exitCode === null && postmaster.signalCode === null) {
    const client = new pg.Client({ connectionString: adminUrl, connectionTimeoutMillis: 2000 });
    client.on('error', () => {});
    try {
      await client.connect();
      return true;
    } catch (error) {
      // A refusal by pg_hba.conf is an answer too: one that wants TLS, for example.
      if ((error as { code?: unknown }).code === '28000') return true;
      await sleep(50);
    } finally {
      await client.end().catch(() => {});
    }
  }
  return false;
}

/** SIGINT is PostgreSQL's fast shutdown, SIGQUIT the immediate one. */
async function stopServer(postmaster: ChildProcess): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (postmaster.exitCode !== null || postmaster.signalCode !== null) return;
    const exited = once(postmaster, 'exit');
    postmaster.kill(signal);
    await Promise.race([exited, sleep(10_000, undefined, { ref: false })]);
  }
}

/**
 * Ends a server at once, as a crash does (SIGQUIT: PostgreSQL's immediate shutdown), and starts it again with the same
 * data on the same port. Resolves when it has recovered; the server that was passed in is not to be used any more.
 */
export async function crashAndRestart(server: PostgresServer): Promise<PostgresServer> {
  const command = (await readFile(`/proc/${server.pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
  process.kill(server.pid, 'SIGQUIT');
  const isRunning = () => {
    try {
      return process.kill(server.pid, 0);
    } catch {
      return false;
    }
  };
  for (const deadline = Date.now() + 20_000; isRunning(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error('The server does not end.');
  }
  const log = join(server.dataDir, 'server.log');
  const user = await serverUser();
  const postmaster = start(command[0]!, command.slice(1), { user, dataDir: server.dataDir, log });
  if (!(await isReady(server.adminUrl, postmaster))) {
    throw new Error(`The server did not start again: ${(await readFile(log, 'utf8')).slice(-2000)}`);
  }
  return {
    ...server,
    pid: postmaster.pid ?? 0,
    stop: async () => {
      await stopServer(postmaster);
      await rm(server.dataDir, { recursive: true, force: true });
    },
  };
}
