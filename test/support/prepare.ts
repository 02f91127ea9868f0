/**
 * Installs the Debian packages that tests, demo and measurements need and this machine lacks: with apt-get where that is
 * possible (root, apt present); otherwise it says what to install. Run as a program: `node test/support/prepare.ts`.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { findMariadbServer } from './mariadb-server.ts';
import { findServerBinaries } from './postgres-server.ts';
import { rabbitmqMissing } from './rabbitmq-server.ts';
import { hasRedis } from './redis-server.ts';
import { swiftMissing, swiftPackages } from './swift-server.ts';

export interface Requirement {
  readonly what: string;
  readonly packages: readonly string[];
  isMet(): boolean;
}

/** For service state, tests and the engine of that name. */
export const postgresql: Requirement = {
  what: 'PostgreSQL server and client',
  packages: ['postgresql', 'postgresql-client'],
  isMet: hasPostgres,
};

/** Opens downloads. */
export const openssl: Requirement = {
  what: 'openssl',
  packages: ['openssl'],
  isMet: () => onPath('openssl'),
};

/** What the demo with MariaDB needs. */
export const mariadb: Requirement = {
  what: 'MariaDB server and client',
  packages: ['mariadb-server', 'mariadb-client'],
  isMet: () => findMariadbServer() !== undefined && onPath('mariadb-dump') && onPath('mariadb-check'),
};

/** One row per need; engines and stores that test against another real server add theirs. */
const requirements: readonly Requirement[] = [
  postgresql,
  mariadb,
  openssl,
  {
    what: 'SQLite, for the engines sqlite and command',
    packages: ['sqlite3'],
    isMet: () => onPath('sqlite3'),
  },
  {
    what: 'OpenStack Swift, an S3 server',
    packages: swiftPackages,
    isMet: () => swiftMissing() === undefined,
  },
  {
    what: 'S3 clients',
    packages: ['awscli', 's3cmd'],
    isMet: () => existsSync('/usr/bin/aws') && existsSync('/usr/bin/s3cmd'),
  },
  {
    what: 'faketime, for clocks that are wrong',
    packages: ['faketime'],
    isMet: () => onPath('faketime'),
  },
  {
    what: 'RabbitMQ server',
    packages: ['rabbitmq-server'],
    isMet: () => rabbitmqMissing() === undefined,
  },
  { what: 'Redis server and client', packages: ['redis-server'], isMet: hasRedis },
  { what: 'zstd', packages: ['zstd'], isMet: () => onPath('zstd') },
  { what: 'promtool', packages: ['prometheus'], isMet: () => onPath('promtool') },
];

/** Makes sure everything is there; returns what is still missing. */
export function prepare(rows: readonly Requirement[] = requirements): Requirement[] {
  const missing = rows.filter((row) => !row.isMet());
  if (missing.length === 0) return [];
  if (userInfo().uid !== 0 || !onPath('apt-get')) return missing;
  const packages = [...new Set(missing.flatMap((row) => row.packages))];
  process.stderr.write(`Installing what is needed here: ${packages.join(' ')}\n`);
  install(packages);
  return rows.filter((row) => !row.isMet());
}

/** Package lists may be absent or stale, so a first failure is answered with `apt-get update` and one more try. */
function install(packages: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const args = ['install', '-y', '-q', '--no-install-recommends', ...packages];
  const apt = (rest: readonly string[]) =>
    spawnSync('apt-get', rest, { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  if (!apt(args) && apt(['update', '-q'])) apt(args);
}

/** Extensions of the fixtures come with `postgresql-contrib`, which is part of the server package since version 10. */
function hasPostgres(): boolean {
  const folder = findServerBinaries();
  return folder !== undefined && existsSync(join(folder, 'pg_dump')) && existsSync(join(folder, 'psql'));
}

/** Whether PATH finds a program. */
export function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

if (import.meta.main) {
  const missing = prepare();
  for (const row of missing) {
    process.stderr.write(
      `Missing: ${row.what}. Install it, on Debian with: apt-get install ${row.packages.join(' ')}\n`,
    );
  }
  process.exitCode = missing.length === 0 ? 0 : 1;
}
