import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readTarget } from '../../../src/engines/postgresql/connection.ts';
import { openToolEnvironment } from '../../../src/engines/postgresql/environment.ts';

const plain = readTarget({ host: 'db', database: 'shop', username: 'me', sslmode: 'disable' });
const withTls = readTarget({ ...plain, sslmode: 'verify-full' });
const open = (target: typeof plain) => openToolEnvironment(target, { applicationName: 'x' });

let folder: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'private-'));
  vi.stubEnv('TMPDIR', folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) await end(child);
  await rm(folder, { recursive: true });
});

/** A process that holds a folder, and that folder. */
async function hold(kind: 'tls' | 'spool') {
  const child = fork(new URL('./hold-folder-in-child.ts', import.meta.url), [kind], { execArgv: [] });
  children.push(child);
  const [path] = (await once(child, 'message')) as [string];
  return { child, path };
}
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('TLS material lies in a folder that only this user may read, and goes with the tools', async () => {
  const environment = await open(withTls);
  const path = String(environment.env.PGSSLROOTCERT);
  expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await environment.close();
  expect(await readdir(folder)).toEqual([]);
});

test.for([
  ['without TLS', plain],
  ['with TLS', withTls],
] as const)(
  'the next task, %s, removes the folders of a killed worker and of no other',
  async ([, target]) => {
    const [dead, spooling, living] = await Promise.all([hold('tls'), hold('spool'), hold('tls')]);
    // Of a process with the same id on another machine, and of one whose id this process has now.
    const elsewhere = basename(dead.path).replace(/^(forestay-tls)\.[^.]*/, '$1.other-host');
    const again = basename(dead.path).replace(/\.\d+-\d+\./, `.${process.pid}-1.`);
    for (const name of [elsewhere, again]) await mkdir(join(folder, name));
    await end(dead.child);
    await end(spooling.child);
    await (await open(target)).close();
    expect((await readdir(folder)).toSorted()).toEqual([basename(living.path), elsewhere].toSorted());
  },
);
