import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { mountTmpfs, whyNoTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { runSql } from '../../support/postgres-client.ts';
import { findServerBinaries } from '../../support/postgres-server.ts';
import { engineWith, fakeTools } from './fake-tools.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;
const real = findServerBinaries();
const noTmpfs = whyNoTmpfs();

let instance: PostgresInstance;
let reader: string;
let folder: string;

async function prepare(rights: Rights = 'owner'): Promise<void> {
  instance = await makePostgresInstance(adminUrl, rights);
  await instance.fillWithEverything({ reader, editor: reader });
  await instance.fill('bulk');
}
const withJobs = (parallel: number) => ({ ...instance.connection, parallel });
const restoreWith = (jobs: number, backup: TakenBackup, using = engine) =>
  using.restore(withJobs(jobs), streamOf(backup.bytes), ticketFor(backup.source), never);

beforeEach(async () => {
  reader = `reader_${randomBytes(4).toString('hex')}`;
  await runSql(adminUrl, `CREATE ROLE ${reader}`);
  folder = await mkdtemp(join(tmpdir(), 'parallel-'));
  // So that every temp file is a leftover.
  vi.stubEnv('TMPDIR', folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  expect(await instance.remains()).toEqual([]);
  await instance.close();
  await runSql(adminUrl, `DROP ROLE IF EXISTS ${reader}`);
  await rm(folder, { recursive: true });
});

test('a backup by several jobs is a tar of a folder that pg_restore reads, and says so', async () => {
  await prepare();
  const source = await engine.backUp(withJobs(3), never);
  expect(source).toMatchObject({ suffix: '.pgdump.tar', mediaType: 'application/x-tar', compressed: true });
  const bytes = await buffer(source.stream);
  expect(await readdir(folder)).toEqual([]);
  expect(source.details).toMatchObject({ format: 'directory' });
  expect(source.details.archiveBytes).toBeLessThan(bytes.length);
  execFileSync('tar', ['--extract', `--directory=${folder}`], { input: bytes });
  const list = execFileSync(join(real ?? '', 'pg_restore'), ['--list', join(folder, 'dump')], {
    encoding: 'utf8',
  });
  expect(list).toMatch(/TABLE DATA public bulk /);
  expect(list).toContain('Format: DIRECTORY');
});

test.for([
  ['several', 'one', 3, 1, ['superuser', 'no createdb']],
  ['one', 'several', 1, 3, ['superuser', 'owner']],
  ['several', 'several', 2, 4, ['superuser', 'no createdb']],
] as const)('what %s backed up, %s restore exactly', async ([, , from, to, allRights]) => {
  for (const rights of allRights) {
    await prepare(rights);
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, withJobs(from));
    await instance.asRole('DROP TABLE bulk, app.orders');
    expect(await restoreWith(to, backup)).toMatchObject({ notKept: [] });
    expect(await instance.fingerprint(), rights).toEqual(before);
    expect(await readdir(folder)).toEqual([]);
    if (rights !== allRights[1]) await instance.close();
  }
});

test('where roles may not be used, a backup of several jobs is restored all the same, and what is lost is told', async () => {
  await prepare();
  const backup = await takeBackup(engine, withJobs(3));
  const source = instance;
  instance = await makePostgresInstance(adminUrl, 'owner');
  const report = await restoreWith(3, backup);
  expect(report.notKept.join('\n')).toContain(source.role);
  expect((await instance.fingerprint()).tables).toEqual((await source.fingerprint()).tables);
  // First that of the source's grants.
  await instance.close();
  instance = source;
});

describe('a spool', () => {
  test('of a pg_dump that fails or hangs, or of a restore that fails, is removed', async () => {
    await prepare();
    const dumps = {
      fails: [
        'mkdir -p "$(echo "$@" | sed "s/.*--file=//; s/ .*//")"; echo "pg_dump: error: no" >&2; exit 1',
        'ToolFailed',
      ],
      hangs: ['sleep 1000', 'InstanceUnreachable'],
    } as const;
    for (const [name, [pg_dump, code]] of Object.entries(dumps)) {
      const dirs = [await fakeTools(join(folder, 'tools', name), '15.99', { pg_dump })];
      const failing = engineWith(dirs, { stallMs: 400 });
      await expect(failing.backUp(withJobs(2), never)).rejects.toMatchObject({ code });
      expect(await readdir(folder)).toEqual(['tools']);
    }
    const backup = await takeBackup(engine, withJobs(2));
    const dirs = [await fakeTools(join(folder, 'tools'), '15.99', { pg_restore: 'exit 1' })];
    await expect(restoreWith(2, backup, engineWith(dirs))).rejects.toMatchObject({ code: 'ToolFailed' });
    expect(await readdir(folder)).toEqual(['tools']);
  });

  test.skipIf(noTmpfs)(
    `without room for it, is refused with what to do, and nothing is left${noTmpfs}`,
    async () => {
      await prepare('superuser');
      const [backup, plain] = [await takeBackup(engine, withJobs(2)), await takeBackup(engine, withJobs(1))];
      const before = await instance.fingerprint();
      await using disk = await mountTmpfs('400k');
      vi.stubEnv('TMPDIR', disk.mountPoint);
      const refused = { code: 'Misconfigured', hint: expect.stringContaining('TMPDIR') };
      await expect(engine.backUp(withJobs(2), never)).rejects.toMatchObject(refused);
      for (const { bytes, source } of [backup, plain]) {
        await expect(restoreWith(2, { bytes, source })).rejects.toMatchObject(refused);
        // One that does not say how large it is fills the disk.
        const { archiveBytes: _, ...details } = source.details;
        await expect(restoreWith(2, { bytes, source: { ...source, details } })).rejects.toMatchObject(
          refused,
        );
      }
      expect(await readdir(disk.mountPoint)).toEqual([]);
      expect(await instance.fingerprint()).toEqual(before);
    },
  );
});

test('an archive that names other files than its own is refused before anything is done', async () => {
  await prepare();
  const backup = await takeBackup(engine, withJobs(2));
  const before = await instance.fingerprint();
  const unpacked = () => {
    const path = mkdtempSync(join(folder, 'unpacked-'));
    execFileSync('tar', ['--extract', `--directory=${path}`], { input: backup.bytes });
    return join(path, 'dump');
  };
  const tampering: Record<string, (path: string) => void> = {
    'a table of contents that leads out': (path) => {
      const [file = ''] = readdirSync(path).filter((name) => /^\d+\.dat\.gz$/.test(name));
      const name = file.replace('.gz', '');
      const toc = readFileSync(join(path, 'toc.dat'), 'latin1');
      expect(toc).toContain(name);
      writeFileSync(join(path, 'toc.dat'), toc.replace(name, `../${'x'.repeat(name.length - 3)}`), 'latin1');
    },
    'a list of large objects that leads out': (path) =>
      writeFileSync(join(path, 'blobs.toc'), '1 ../../secret\n'),
    'a link': (path) => {
      const [file = ''] = readdirSync(path).filter((name) => name.endsWith('.gz'));
      rmSync(join(path, file));
      symlinkSync('/etc/hostname', join(path, file));
    },
    'a file that is none of an archive': (path) => writeFileSync(join(path, 'more'), ''),
    'no table of contents': (path) => rmSync(join(path, 'toc.dat')),
    'half a table of contents': (path) =>
      writeFileSync(join(path, 'toc.dat'), readFileSync(join(path, 'toc.dat')).subarray(0, 5000)),
  };
  for (const [what, tamper] of Object.entries(tampering)) {
    const path = unpacked();
    tamper(path);
    const bytes = execFileSync('tar', ['--create', `--directory=${join(path, '..')}`, 'dump'], {
      maxBuffer: 1e8,
    });
    rmSync(join(path, '..'), { recursive: true });
    await expect(restoreWith(2, { ...backup, bytes }), what).rejects.toMatchObject({
      code: 'IncompatibleBackup',
    });
    expect(await readdir(folder), what).toEqual([]);
  }
  expect(await instance.fingerprint()).toEqual(before);
});
