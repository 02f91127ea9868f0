import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, link, mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Connection } from '../../../src/core/instance.ts';
import { createFilesEngine, type FilesEngineOptions } from '../../../src/engines/files/engine.ts';
import { type FullInstance, type InstanceFixture, takeBackup } from '../../contract/engine-contract.ts';
import { mountTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import { killProcessesWith, processesWith } from '../processes.ts';

const run = promisify(execFile);

/** A folder in a root of its own. */
export interface FolderInstance extends InstanceFixture {
  readonly engine: ReturnType<typeof createFilesEngine>;
  readonly options: FilesEngineOptions;
  readonly root: string;
  readonly path: string;
  readonly connection: Connection;
}

export async function makeFolder(
  options: Partial<FilesEngineOptions> & { readonly inRoot?: string; readonly name?: string } = {},
): Promise<FolderInstance> {
  const root = options.inRoot ?? (await mkdtemp(join(tmpdir(), 'files-')));
  const path = join(root, options.name ?? 'shop uploads');
  await mkdir(path);
  const all: FilesEngineOptions = { roots: [root], forbidden: [], ...options };
  const engine = createFilesEngine(all);
  return {
    engine,
    options: all,
    root,
    path,
    connection: engine.parseConnection({ path }),
    unreachable: engine.parseConnection({ path: join(root, 'missing') }),
    fill: (kind) => (kind === 'bulk' ? fillBulk(path) : fillHostile(path)),
    grow: async (megabytes) => {
      for (let file = 0; file < 4; file++) {
        const pieces = Math.ceil(megabytes / 4);
        for (let piece = 0; piece < pieces; piece++)
          await writeFile(join(path, `big-${file}`), randomBytes(1_000_000), { flag: 'a' });
      }
    },
    fingerprint: () => fingerprint(path),
    write: () => writeFile(join(path, 'written'), randomBytes(8)),
    startWriting: () => startWriting(path),
    isConsistent: async () => existsSync(join(path, 'filler')),
    killSource: () => killProcessesWith(path),
    remains: async () => [
      ...processesWith(path).map(({ args }) => `process ${args}`),
      ...(await readdir(root)).filter((name) => name.startsWith('.forestay') && !name.endsWith('-before')),
    ],
    close: async () => {
      if (!options.inRoot) await run('rm', ['-rf', root]);
    },
  };
}

/** On a disk with room for the folder, but not for another one beside it. */
export async function fullFolder(
  options: Pick<FilesEngineOptions, 'programs'> & { readonly name?: string } = {},
): Promise<FullInstance> {
  await using making = new AsyncDisposableStack();
  const disk = making.use(await mountTmpfs('8m'));
  const instance = await makeFolder({ ...options, inRoot: disk.mountPoint });
  await instance.fill('bulk');
  const backup = await takeBackup(instance.engine, instance.connection);
  const { engine } = instance;
  const made = making.move();
  return { engine, instance, backup, [Symbol.asyncDispose]: () => made.disposeAsync() };
}

async function fillBulk(path: string): Promise<void> {
  await mkdir(join(path, 'pictures'));
  for (let index = 0; index < 40; index++) {
    await writeFile(join(path, 'pictures', `${index}.jpg`), randomBytes(128 * 1024));
  }
}

/** Names, links and modes that break careless code. */
export async function fillHostile(path: string): Promise<void> {
  const file = async (name: string | Buffer, content = 'content') => {
    await writeFile(
      typeof name === 'string' ? join(path, name) : Buffer.concat([Buffer.from(`${path}/`), name]),
      content,
    );
  };
  for (const name of [
    '-rf',
    '--checkpoint-action=exec=false',
    'a\nb',
    ' ',
    '\\',
    '*',
    '~',
    '"',
    "'",
    '$(id)',
    '\x01\x7f\x1b[0m',
  ]) {
    await file(name);
  }
  for (const name of [
    'ü',
    'u\u0308',
    '🦫',
    'x'.repeat(255),
    'é'.repeat(127),
    '...',
    '.hidden',
    'C:\\x',
    'a=b',
    '@list',
  ]) {
    await file(name, name);
  }
  await file(Buffer.from([0xff, 0xfe, 0x80]), 'not UTF-8');
  let deep = path;
  for (let level = 0; level < 30; level++) {
    deep = join(deep, 'n'.repeat(100));
    await mkdir(deep);
  }
  await writeFile(join(deep, 'deep'), 'deep');
  await mkdir(join(path, 'empty folder'));
  await file('empty file', '');
  await file('first of two');
  await link(join(path, 'first of two'), join(path, 'second of two'));
  await symlink('nowhere', join(path, 'dangling'));
  await symlink('/etc/passwd', join(path, 'absolute'));
  await symlink('../..', join(path, 'above'));
  await symlink('.', join(path, 'self'));
  await symlink('l'.repeat(3000), join(path, 'long link'));
  await file('sparse', '');
  await truncate(join(path, 'sparse'), 200 * 1024 ** 2);
  await run('mkfifo', [join(path, 'pipe')]);
  for (const [name, mode] of [
    ['setuid', 0o4755],
    ['setgid', 0o2755],
    ['nothing', 0],
    ['all', 0o777],
  ] as const) {
    await file(name);
    await chmod(join(path, name), mode);
  }
  await mkdir(join(path, 'sticky'));
  await chmod(join(path, 'sticky'), 0o1777);
  await mkdir(join(path, 'read-only folder'));
  await writeFile(join(path, 'read-only folder', 'in it'), 'x');
  await chmod(join(path, 'read-only folder'), 0o555);
  await chmod(path, 0o2750);
  if (process.getuid?.() === 0) {
    await run('chown', ['12345:54321', join(path, 'ü')]);
    await run('chown', ['-h', '12345:54321', join(path, 'dangling')]);
  }
  await run('touch', ['-d', '1969-07-20 20:17:40.123456789', join(path, '🦫')]);
  await run('touch', ['-h', '-d', '2001-09-09 01:46:40.987654321', join(path, 'dangling')]);
  await run('touch', ['-d', '2286-11-20 17:46:40', join(path, 'empty folder')]);
}

/**
 * By find and sha256sum: type, mode, owner, time of change in nanoseconds, size, links, target and content of everything. The
 * sizes of folders are the file system's business.
 */
export async function fingerprint(path: string): Promise<readonly string[]> {
  const script = `cd "$1" && find . \\( -type d -printf '%y %m %U %G %T@ %p\\0' \\) -o -printf '%y %m %U %G %T@ %s %n %l %p\\0' | sort -z | tr '\\n\\0' '\\t\\n'
    find . -type f ! -name sparse -print0 | sort -z | xargs -0 -r sha256sum --zero | tr '\\n\\0' '\\t\\n'`;
  const { stdout } = await run('sh', ['-c', script, 'sh', path], {
    env: { ...process.env, LC_ALL: 'C' },
    encoding: 'latin1',
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout.split('\n');
}

/** Two files that must be equal are written one after the other all the time. */
async function startWriting(path: string): Promise<{ stop(): Promise<void> }> {
  await writeFile(join(path, 'filler'), randomBytes(2 * 1024 * 1024));
  return keepDoing(async (turn) => {
    await writeFile(join(path, 'one'), String(turn));
    await writeFile(join(path, 'two'), String(turn));
  });
}

export async function removeRoot(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true });
}
