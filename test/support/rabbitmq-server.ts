import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, closeSync, constants, existsSync, openSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { freePorts } from './free-ports.ts';
/** A private RabbitMQ with its management API, in a temp folder, for tests and the demo. */
export interface RabbitmqServer {
  readonly host: string;
  /** Of the management API. */
  readonly port: number;
  readonly amqpPort: number;
  /** An administrator, with every right in the vhost `/`. */
  readonly username: string;
  readonly password: string;
  readonly folder: string;
  /** Process id of the Erlang machine. */
  readonly pid: number;
  /** Runs RabbitMQ's own tool against the server; resolves with what it says. Takes about a second. */
  ctl(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

export interface RabbitmqServerOptions {
  /** Besides rabbitmq_management. */
  readonly plugins?: readonly string[];
}

const programs = '/usr/lib/rabbitmq/bin';
const run = promisify(execFile);

/** What is missing on this machine; undefined when nothing is. */
export function rabbitmqMissing(): string | undefined {
  return [`${programs}/rabbitmq-server`, '/usr/bin/epmd'].find((program) => !isExecutable(program));
}

/** Starts one and waits until it answers, about ten seconds. */
export async function startRabbitmqServer(options: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
  if (rabbitmqMissing() !== undefined) {
    throw new Error('No RabbitMQ server found. Install it with: apt-get install rabbitmq-server');
  }
  const folder = await mkdtemp(join(tmpdir(), 'forestay-rabbitmq-'));
  const children: ChildProcess[] = [];
  const stop = async () => {
    // Nothing here is to be kept: the quick way, the server before the name service it is registered with.
    for (const child of children.reverse()) await kill(child);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const [amqpPort, port, distPort, epmdPort] = (await freePorts(4)) as [number, number, number, number];
    const password = randomBytes(18).toString('base64url');
    const env = await prepareFolder(folder, { amqpPort, port, distPort, epmdPort, password, ...options });
    // A name service of its own: the usual one, once started, would outlive the server.
    children.push(start('/usr/bin/epmd', ['-port', String(epmdPort), '-address', '127.0.0.1'], folder, env));
    const server = start(`${programs}/rabbitmq-server`, ['-noinput'], folder, env);
    children.push(server);
    const login = { host: '127.0.0.1', port, username: 'operator', password };
    await untilReady(login, server, join(folder, 'server.log'));
    return {
      ...login,
      amqpPort,
      folder,
      pid: server.pid ?? 0,
      ctl: async (...args) => {
        const { stdout } = await run(`${programs}/rabbitmqctl`, ['--quiet', ...args], {
          env,
          maxBuffer: 64 * 1024 * 1024,
        });
        return stdout;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Layout extends RabbitmqServerOptions {
  readonly amqpPort: number;
  readonly port: number;
  readonly distPort: number;
  readonly epmdPort: number;
  readonly password: string;
}

/** Resolves with the environment for server and tool. */
async function prepareFolder(folder: string, layout: Layout): Promise<Record<string, string>> {
  await chmod(folder, 0o700);
  await mkdir(join(folder, 'data'));
  await writeFile(join(folder, '.erlang.cookie'), randomBytes(20).toString('hex'), { mode: 0o400 });
  await writeFile(
    join(folder, 'rabbitmq.conf'),
    `listeners.tcp.1 = 127.0.0.1:${layout.amqpPort}
management.tcp.ip = 127.0.0.1
management.tcp.port = ${layout.port}
default_user = operator
default_pass = ${layout.password}
default_user_tags.administrator = true
collect_statistics_interval = 1000
disk_free_limit.absolute = 1MB
log.file = false
log.console = true
log.console.level = warning
`,
    { mode: 0o600 },
  );
  const plugins = ['rabbitmq_management', ...(layout.plugins ?? [])];
  await writeFile(join(folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`);
  return {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    LC_ALL: 'C.UTF-8',
    FORESTAY_TEST_SERVER: folder,
    ERL_EPMD_PORT: String(layout.epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // One scheduler that does not spin: what is measured here is never RabbitMQ's speed.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none',
    RABBITMQ_ALLOW_INPUT: '1',
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_DIST_PORT: String(layout.distPort),
    RABBITMQ_NODENAME: `forestay-${layout.port}@localhost`,
  };
}

/** `setpriv --pdeathsig` ends it with the process that started it, however that one ends. */
function start(command: string, args: string[], folder: string, env: Record<string, string>): ChildProcess {
  const output = openSync(join(folder, 'server.log'), 'a', 0o600);
  try {
    const stdio: ['ignore', number, number] = ['ignore', output, output];
    return spawn('/usr/bin/setpriv', ['--pdeathsig=KILL', '--', command, ...args], {
      cwd: folder,
      env,
      stdio,
    });
  } finally {
    closeSync(output);
  }
}

async function untilReady(
  login: { host: string; port: number; username: string; password: string },
  server: ChildProcess,
  log: string,
): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  for (const deadline = Date.now() + 120_000; ; await sleep(100)) {
    const answer = await fetch(`http://${login.host}:${login.port}/api/health/checks/virtual-hosts`, {
      headers: { authorization },
      signal: AbortSignal.timeout(5000),
    }).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    if (server.exitCode !== null || server.signalCode !== null || Date.now() > deadline) {
      const said = existsSync(log) ? (await readFile(log, 'utf8')).slice(-2000) : '';
      throw new Error(`The server did not start: ${said}`);
    }
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
