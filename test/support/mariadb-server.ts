import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-ports.ts';
import { type MariadbAddress, runMariadb } from './mariadb-client.ts';

/** A private MariaDB server in a temp folder, for tests, the demo and measurements. */
export interface MariadbServer {
  readonly host: string;
  readonly port: number;
  /** A user with all rights and a random password. */
  readonly admin: MariadbAddress;
  readonly dataDir: string;
  /** Process id of the server. */
  readonly pid: number;
  /** Ends the server at once, as a crash does, and starts it again with the same data on the same port. */
  crashAndRestart(): Promise<void>;
  stop(): Promise<void>;
}

export interface MariadbServerOptions {
  /** Faster, and unsafe when the machine (not the server) crashes. Default: fsync stays on. */
  readonly fsync?: 'on' | 'off';
  /** The folder for the server's own one; that for temporary files by default. */
  readonly inFolder?: string;
  /** Options of the server, without dashes. */
  readonly settings?: Readonly<Record<string, string>>;
  /** PEM of the server's certificate and key: the server then offers TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Starts a server; it ends with `stop()`, and on Linux also when this process dies. */
export async function startMariadbServer(options: MariadbServerOptions = {}): Promise<MariadbServer> {
  const program = findMariadbServer();
  if (!program) throw new Error('No MariaDB server found. Install it with: apt-get install mariadb-server');
  const dataDir = await mkdtemp(join(options.inFolder ?? tmpdir(), 'forestay-mariadb-server-'));
  try {
    await chmod(dataDir, 0o700);
    return await launch(program, dataDir, options);
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** The server program of this machine. */
export function findMariadbServer(): string | undefined {
  const folders = ['/usr/sbin', '/usr/local/sbin', ...(process.env.PATH ?? '').split(delimiter)];
  return folders.map((folder) => join(folder, 'mariadbd')).find(isExecutable);
}

async function launch(
  program: string,
  dataDir: string,
  options: MariadbServerOptions,
): Promise<MariadbServer> {
  const password = randomBytes(18).toString('base64url');
  const log = join(dataDir, 'server.log');
  const data = join(dataDir, 'data');
  await mkdir(join(dataDir, 'tmp'));
  await writeFile(log, '', { mode: 0o600 });
  // Everything small: what a new server writes first takes longer than all else.
  const common = [
    '--no-defaults',
    `--user=${userInfo().username}`,
    `--datadir=${data}`,
    `--tmpdir=${join(dataDir, 'tmp')}`,
    ...(options.fsync === 'off' ? ['--debug-no-sync=ON', '--innodb-flush-log-at-trx-commit=0'] : []),
  ];
  const install = start(
    'mariadb-install-db',
    [...common, '--auth-root-authentication-method=normal', '--skip-test-db', '--skip-name-resolve'],
    dataDir,
    log,
  );
  const [code] = (await once(install, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`mariadb-install-db failed: ${await readFile(log, 'utf8')}`);

  const initFile = join(dataDir, 'init.sql');
  await writeFile(
    initFile,
    [
      `CREATE OR REPLACE USER admin@'%' IDENTIFIED BY '${password}';`,
      "GRANT ALL PRIVILEGES ON *.* TO admin@'%' WITH GRANT OPTION;",
      "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');",
      'FLUSH PRIVILEGES;',
      '',
    ].join('\n'),
    { mode: 0o600 },
  );
  if (options.tls) {
    await writeFile(join(dataDir, 'server.crt'), options.tls.cert, { mode: 0o600 });
    await writeFile(join(dataDir, 'server.key'), options.tls.key, { mode: 0o600 });
  }
  const settings: Record<string, string> = {
    'bind-address': '127.0.0.1',
    socket: join(dataDir, 's'),
    'pid-file': join(dataDir, 'pid'),
    'init-file': initFile,
    'skip-name-resolve': 'ON',
    'character-set-server': 'utf8mb4',
    'innodb-buffer-pool-size': '128M',
    'performance-schema': 'OFF',
    ...(options.tls
      ? { 'ssl-cert': join(dataDir, 'server.crt'), 'ssl-key': join(dataDir, 'server.key') }
      : {}),
    ...options.settings,
  };
  const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const run = () => start(program, [...common, `--port=${port}`, ...args], dataDir, log);
    let server = run();
    const admin = { host: '127.0.0.1', port, user: 'admin', password };
    if (await isReady(admin, server)) {
      return {
        host: admin.host,
        port,
        admin,
        dataDir,
        get pid() {
          return server.pid ?? 0;
        },
        crashAndRestart: async () => {
          const exited = once(server, 'exit');
          server.kill('SIGKILL');
          await exited;
          server = run();
          if (!(await isReady(admin, server))) throw new Error(`No restart: ${await tailOf(log)}`);
        },
        stop: async () => {
          await stopServer(server);
          await rm(dataDir, { recursive: true, force: true });
        },
      };
    }
    await stopServer(server);
    if (attempt === 3) throw new Error(`The server did not start: ${await tailOf(log)}`);
  }
}

async function tailOf(log: string): Promise<string> {
  return (await readFile(log, 'utf8')).slice(-2000);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `setpriv --pdeathsig` ends the server with the process that started it, however that one ends. */
function start(command: string, args: string[], dataDir: string, log: string): ChildProcess {
  const output = openSync(log, 'a');
  try {
    const env = { PATH: process.env.PATH ?? '', LC_ALL: 'C.UTF-8', FORESTAY_TEST_SERVER: dataDir };
    const stdio: ['ignore', number, number] = ['ignore', output, output];
    if (process.platform === 'linux' && isExecutable('/usr/bin/setpriv'))
      return spawn('/usr/bin/setpriv', ['--pdeathsig=TERM', '--', command, ...args], {
        cwd: dataDir,
        env,
        stdio,
      });
    return spawn(command, args, { cwd: dataDir, env, stdio });
  } finally {
    closeSync(output);
  }
}

async function isReady(admin: MariadbAddress, server: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline && server.exitCode === null && server.signalCode === null) {
    try {
      await runMariadb(admin, 'SELECT 1');
      return true;
    } catch {
      await sleep(50);
    }
  }
  return false;
}

async function stopServer(server: ChildProcess): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill(signal);
    await Promise.race([exited, sleep(10_000, undefined, { ref: false })]);
  }
}
