import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { freePorts } from './free-ports.ts';
/** A private OpenStack Swift with its S3 API: a real object store, all in one temp folder. */
export interface SwiftServer {
  /** Of the S3 API; path style, region us-east-1. */
  readonly endpoint: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /**
   * Enters objects into the list of a bucket that are not there: what a list is made of is a table of its own, and to put
   * thousands of objects takes minutes.
   */
  listFalsely(bucket: string, names: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

const programs = ['account', 'container', 'object', 'proxy'] as const;
export const swiftPackages = ['swift-proxy', 'swift-account', 'swift-container', 'swift-object', 'memcached'];
const binaries = programs.map((name) => `/usr/bin/swift-${name}-server`);

/** What is missing on this machine, undefined when nothing is. */
export function swiftMissing(): string | undefined {
  const missing = [...binaries, '/usr/bin/python3', '/usr/bin/memcached'].filter((file) => !existsSync(file));
  if (missing.length === 0) return undefined;
  return `${missing.join(', ')} missing: apt-get install ${swiftPackages.join(' ')}`;
}

/** Starts one; it ends with `stop()`, and on Linux also when this process dies. */
export async function startSwiftServer(): Promise<SwiftServer> {
  const folder = await mkdtemp(join(tmpdir(), 'forestay-swift-'));
  const started: ChildProcess[] = [];
  const stop = async () => {
    await Promise.all(started.map(end));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await mkdir(join(folder, 'srv', 'd1'), { recursive: true });
    await writeFile(join(folder, 'swift.conf'), '[swift-hash]\nswift_hash_path_suffix = forestay\n');
    const [memcachedPort = 0, ...ports] = await freePorts(1 + programs.length);
    for (const [index, name] of programs.entries()) {
      const port = ports[index]!;
      await writeFile(
        join(folder, `${name}.conf`),
        name === 'proxy' ? proxyConfig(folder, port, memcachedPort) : serverConfig(folder, name, port),
      );
    }
    await buildRings(folder, ports);
    const memcached = ['-u', userInfo().username, '-l', '127.0.0.1', '-p', String(memcachedPort), '-m', '64'];
    started.push(start(folder, ['/usr/bin/memcached', ...memcached]));
    for (const name of programs)
      started.push(start(folder, [`/usr/bin/swift-${name}-server`, join(folder, `${name}.conf`)]));
    // The servers behind the proxy answer a request that they do not know, too.
    for (const port of ports) await answers(`http://127.0.0.1:${port}/healthcheck`, started, folder);
    const endpoint = `http://127.0.0.1:${ports.at(-1)}`;
    return {
      endpoint,
      credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
      listFalsely: (bucket, names) => enterInto(folder, bucket, names),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function common(folder: string, port: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${userInfo().username}
swift_dir = ${folder}
log_address = ${folder}/no-syslog
`;
}

function serverConfig(folder: string, name: string, port: number): string {
  return `${common(folder, port)}devices = ${folder}/srv
mount_check = false
[pipeline:main]
pipeline = ${name}-server
[app:${name}-server]
use = egg:swift#${name}
`;
}

function proxyConfig(folder: string, port: number, memcachedPort: number): string {
  const filters = [
    'catch_errors',
    'healthcheck',
    'proxy-logging',
    'cache',
    'bulk',
    's3api',
    'tempauth',
    'slo',
    'dlo',
  ];
  const extra: Readonly<Record<string, string>> = {
    // Short pages, so that a list has several without a thousand objects.
    s3api: 'max_bucket_listing = 100\n',
    tempauth: 'user_test_tester = testing .admin\n',
    cache: `memcache_servers = 127.0.0.1:${memcachedPort}\n`,
  };
  const sections = filters.map(
    (name) =>
      `[filter:${name}]\nuse = egg:swift#${name === 'cache' ? 'memcache' : name.replace('-', '_')}\n${extra[name] ?? ''}`,
  );
  return `${common(folder, port)}[pipeline:main]
pipeline = ${filters.join(' ')} proxy-logging proxy-server
${sections.join('')}[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_limit = 1000000
`;
}

/** What swift-ring-builder does, for all rings at once: it takes a third of a second for each step of each. */
const buildRing = `
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for name, port in zip(('account', 'container', 'object'), sys.argv[2:]):
    builder = RingBuilder(4, 1, 1)
    address = {'ip': '127.0.0.1', 'port': int(port)}
    builder.add_dev({'region': 1, 'zone': 1, 'device': 'd1', 'weight': 1, 'meta': '', **address,
                     **{'replication_' + key: value for key, value in address.items()}})
    builder.rebalance()
    builder.get_ring().save(folder + '/' + name + '.ring.gz')
`;

async function buildRings(folder: string, ports: readonly number[]): Promise<void> {
  await promisify(execFile)('/usr/bin/python3', ['-c', buildRing, folder, ...ports.slice(0, 3).map(String)]);
}

/** Swift's own way to its table; the program of the server runs on the same Python. */
const enter = `
import glob, json, sys, time
from swift.container.backend import ContainerBroker
folder, bucket = sys.argv[1:]
names = json.load(sys.stdin)
for path in glob.glob(folder + '/srv/d1/containers/*/*/*/*.db'):
    broker = ContainerBroker(path)
    if broker.get_info()['container'] == bucket:
        broker.merge_items([{'name': name, 'created_at': '%.5f' % time.time(), 'size': 1, 'content_type': 'x/x',
                             'etag': '0' * 32, 'deleted': 0, 'storage_policy_index': 0} for name in names])
        break
else:
    sys.exit('no such bucket')
`;

async function enterInto(folder: string, bucket: string, names: readonly string[]): Promise<void> {
  const child = spawn('/usr/bin/python3', ['-c', enter, folder, bucket], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.stdin?.end(JSON.stringify(names));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`Swift's table of ${bucket} could not be written.`);
}

function start(folder: string, command: readonly string[]): ChildProcess {
  const bound = existsSync('/usr/bin/setpriv')
    ? ['/usr/bin/setpriv', '--pdeathsig=KILL', '--', ...command]
    : command;
  const [program = '', ...args] = bound;
  const log = openSync(join(folder, 'log'), 'a');
  try {
    return spawn(program, args, {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', SWIFT_DIR: folder },
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
}

async function answers(url: string, started: readonly ChildProcess[], folder: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const up = await fetch(url).then(
      () => true,
      () => false,
    );
    if (up) return;
    const dead = started.find(({ exitCode }) => exitCode !== null);
    if (dead || Date.now() > deadline)
      throw new Error(`Swift did not start: ${await readFile(join(folder, 'log'), 'utf8')}`);
    await sleep(50);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}
