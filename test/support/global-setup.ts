import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { makeDatabaseTemplate } from './database-template.ts';
import { type PostgresServer, startPostgresServer } from './postgres-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser URL of the PostgreSQL server of this run: make databases and roles with names of your own. */
    postgresUrl: string;
  }
}

let server: PostgresServer | undefined;
let template: Awaited<ReturnType<typeof makeDatabaseTemplate>> | undefined;
let runFolder = '';
const realTmp = tmpdir();
/** Compiled code, which all sites and command lines of the run share. */
const cacheName = 'cache';

/**
 * One private PostgreSQL server for the whole run, and one temp folder: `os.tmpdir()` of every test lies in it, so that
 * what tests leave behind can be told from what others do on the machine.
 */
export async function setup(project: TestProject): Promise<void> {
  [server, template] = await Promise.all([
    startPostgresServer({ fsync: 'off', settings: { max_prepared_transactions: '5' } }),
    makeDatabaseTemplate(realTmp),
  ]);
  runFolder = await mkdtemp(join(realTmp, 'forestay-test-'));
  // Other users (the one that a server runs as) must be able to pass through, not to look.
  await chmod(runFolder, 0o711);
  process.env.TMPDIR = runFolder;
  process.env.FORESTAY_TEST_RUN = runFolder;
  process.env.XDG_CACHE_HOME = join(runFolder, cacheName);
  project.provide('postgresUrl', server.adminUrl);
}

/** Fails the run when processes, temp files, sessions or databases of ours remain. */
export async function teardown(): Promise<void> {
  process.env.TMPDIR = realTmp;
  delete process.env.FORESTAY_TEST_RUN;
  const leaks = await remaining();
  await server?.stop();
  await template?.remove();
  await rm(runFolder, { recursive: true, force: true });
  if (leaks.length > 0) throw new Error(`The tests left behind:\n  ${leaks.join('\n  ')}`);
}

/** Ends take a moment: only what is still there after five seconds has leaked. */
async function remaining(): Promise<string[]> {
  const deadline = Date.now() + 5000;
  for (;;) {
    const leaks = [...(await leakedFiles()), ...(await leakedProcesses()), ...(await leakedInServer())];
    if (leaks.length === 0 || Date.now() > deadline) return leaks;
    await sleep(100);
  }
}

async function leakedFiles(): Promise<string[]> {
  return (await readdir(runFolder)).filter((name) => name !== cacheName).map((name) => `temp file ${name}`);
}

/** Processes that know the folder of this run, by environment or arguments; the runner's own workers are none. */
async function leakedProcesses(): Promise<string[]> {
  if (process.platform !== 'linux') return [];
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const read = (name: string) => readFile(join('/proc', pid, name), 'utf8').catch(() => '');
    const [environment, command] = await Promise.all([read('environ'), read('cmdline')]);
    const isRunner = command.includes('vitest') || command.includes('esbuild');
    if (isRunner || !(environment.includes(runFolder) || command.includes(runFolder))) continue;
    found.push(`process ${pid}: ${command.replaceAll('\0', ' ').slice(0, 200)}`);
  }
  return found;
}

async function leakedInServer(): Promise<string[]> {
  if (!server) return [];
  const client = new pg.Client({ connectionString: server.adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ leak: string }>(
      `SELECT 'session of ' || application_name AS leak FROM pg_stat_activity WHERE application_name LIKE 'forestay%'
       UNION ALL SELECT 'database ' || datname FROM pg_database WHERE datname LIKE 'forestay\\_%'`,
    );
    return rows.map((row) => row.leak);
  } finally {
    await client.end();
  }
}
