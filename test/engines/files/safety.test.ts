import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFilesEngine } from '../../../src/engines/files/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { mountTmpfs, whyNoTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { type FolderInstance, makeFolder } from './instance.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const noTmpfs = whyNoTmpfs();

let instance: FolderInstance;
let outside: string;
beforeEach(async () => {
  instance = await makeFolder();
  outside = await realpath(await mkdtemp(join(tmpdir(), 'outside-')));
  await writeFile(join(outside, 'precious'), 'untouched');
});
afterEach(async () => {
  expect(await instance.remains()).toEqual([]);
  await instance.close();
  await rm(outside, { recursive: true, force: true });
});

describe('connections', () => {
  const refusal = (input: unknown, changes: object = {}) => {
    try {
      createFilesEngine({ roots: ['/srv'], forbidden: ['/srv/forestay'], ...changes }).parseConnection(input);
    } catch (error) {
      return (error as { code: string; message: string }).code;
    }
    return 'accepted';
  };

  test('name a folder below an allowed one, and nothing else', () => {
    expect(refusal({ path: '/srv/shop' })).toBe('accepted');
    expect(refusal({ path: '/srv/shop/', changes: 'report' })).toBe('accepted');
    for (const path of [
      '/',
      '//',
      '/srv',
      '/srv/',
      '/etc',
      '/srvx/shop',
      'srv/shop',
      '',
      '/srv/../etc',
      '/srv/./shop',
      '/srv//shop',
      '/srv/a\nb',
      '/srv/a\0b',
      '/srv/.forestay-restore-x',
    ]) {
      expect(refusal({ path }), path).toBe('BadRequest');
    }
    for (const input of [
      undefined,
      'x',
      {},
      { path: 1 },
      { path: '/srv/shop', changes: 'no' },
      { path: '/srv/shop', more: 1 },
    ]) {
      expect(refusal(input)).toBe('BadRequest');
    }
    expect(refusal({ path: '/srv/shop' }, { roots: [] })).toBe('BadRequest');
  });

  test('never name a folder of Forestay, nor one within or around it', () => {
    for (const path of ['/srv/forestay', '/srv/forestay/store']) expect(refusal({ path })).toBe('BadRequest');
    expect(refusal({ path: '/srv/a' }, { forbidden: ['/srv/a/b/store'] })).toBe('BadRequest');
    expect(refusal({ path: '/srv/forestay-like' })).toBe('accepted');
  });

  test('are checked again when they are used', async () => {
    const narrower = createFilesEngine({ roots: ['/srv'], forbidden: [] });
    await expect(async () => narrower.probe(instance.connection, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
    });
  });

  test('do not lead out of the allowed folders by symbolic links', async () => {
    await mkdir(join(outside, 'folder'));
    await symlink(outside, join(instance.root, 'link'));
    await symlink(instance.path, join(instance.root, 'to own'));
    for (const [name, message] of [
      ['link/folder', /does not lie below/],
      ['link', /is a symbolic link/],
      ['to own', /is a symbolic link/],
    ] as const) {
      const connection = instance.engine.parseConnection({ path: join(instance.root, name) });
      await expect(instance.engine.probe(connection, never), name).rejects.toMatchObject({
        code: 'InstanceRefused',
        message: expect.stringMatching(message),
      });
    }
    await writeFile(join(instance.root, 'file'), '');
    const connection = instance.engine.parseConnection({ path: join(instance.root, 'file') });
    await expect(instance.engine.probe(connection, never)).rejects.toMatchObject({ code: 'InstanceRefused' });
  });
});

describe('an archive that was made to do harm', () => {
  test.for([
    ['a name with ..', '--transform=s,^x$,../evil,', './x'],
    ['a name with .. in the middle', '--transform=s,^x$,a/../../evil,', './x'],
    ['an absolute name', '--transform=s,^x$,/tmp/evil,', './x'],
    ['a hard link to an absolute name', '--transform=flags=h;s,^x$,OUTSIDE/precious,', './x'],
    ['a hard link to a name with ..', '--transform=flags=h;s,^x$,../../precious,', './x'],
    ['a device node', '', './null'],
    ['the folder itself twice', '--transform=s,^x$,./.,', './x'],
  ])('is refused: %s', async ([, transform = '']) => {
    const before = await instance.fingerprint();
    const made = join(outside, 'made');
    await mkdir(made);
    await writeFile(join(made, 'x'), 'evil');
    await run('ln', [join(made, 'x'), join(made, 'y')]);
    if (transform === '') {
      if (process.getuid?.() !== 0) return;
      await run('mknod', [join(made, 'null'), 'c', '1', '3']);
    }
    const archive = join(outside, 'evil.tar');
    const args = transform === '' ? [] : [transform.replace('OUTSIDE', outside)];
    await run('tar', [
      '-cPf',
      archive,
      '--format=posix',
      ...args,
      '--no-recursion',
      '-C',
      made,
      './',
      ...(transform === '' ? ['null'] : ['x', 'y']),
    ]);
    await expect(restoreFile(archive)).rejects.toMatchObject({ code: 'IncompatibleBackup' });
    expect(await instance.fingerprint()).toEqual(before);
    expect(existsSync('/tmp/evil')).toBe(false);
  });

  test.for(['absolute', 'relative'])('does not write through a symbolic link (%s)', async (kind) => {
    const before = await instance.fingerprint();
    const [first, second] = [join(outside, 'first'), join(outside, 'second')];
    await mkdir(first);
    await mkdir(join(second, 'link'), { recursive: true });
    await symlink(kind === 'absolute' ? outside : '../../..', join(first, 'link'));
    await writeFile(join(second, 'link', 'precious'), 'evil');
    const archive = join(outside, 'evil.tar');
    await run('tar', ['-cf', archive, '--format=posix', '-C', first, './']);
    await run('tar', ['-rf', archive, '--format=posix', '-C', second, './link/precious']);
    await expect(restoreFile(archive)).rejects.toMatchObject({ code: 'ToolFailed' });
    expect(await instance.fingerprint()).toEqual(before);
    expect(await readFile(join(outside, 'precious'), 'utf8')).toBe('untouched');
    expect(existsSync(join(instance.root, 'precious'))).toBe(false);
  });

  test('is cut between two members, where tar itself would not notice', async () => {
    await instance.fill('bulk');
    const { bytes, source } = await takeBackup(instance.engine, instance.connection);
    const before = await instance.fingerprint();
    const end = bytes.findLastIndex((byte) => byte !== 0);
    for (const length of [512, 1024, Math.ceil(end / 512) * 512, Math.ceil(end / 512) * 512 + 512]) {
      const cut = streamOf(bytes.subarray(0, length));
      const restoring = instance.engine.restore(instance.connection, cut, ticketFor(source), never);
      await expect(restoring, String(length)).rejects.toMatchObject({ code: 'IncompatibleBackup' });
    }
    const longer = streamOf(Buffer.concat([bytes, Buffer.from('more')]));
    const restoring = instance.engine.restore(instance.connection, longer, ticketFor(source), never);
    await expect(restoring).rejects.toMatchObject({ code: 'IncompatibleBackup' });
    expect(await instance.fingerprint()).toEqual(before);
  });

  async function restoreFile(archive: string): Promise<unknown> {
    const details = { path: '/', toolVersion: '1', uids: [], gids: [], changes: [], warnings: [] };
    const ticket = ticketFor({ engineVersion: '1', details });
    const { engine, connection } = instance;
    return engine.restore(connection, streamOf(await readFile(archive)), ticket, never);
  }
});

test.skipIf(noTmpfs)(
  `a mount point can be backed up but not restored into, and says so${noTmpfs}`,
  async () => {
    await using disk = await mountTmpfs('1m');
    const engine = createFilesEngine({ roots: [join(disk.mountPoint, '..')], forbidden: [] });
    const connection = engine.parseConnection({ path: disk.mountPoint });
    expect((await engine.probe(connection, never)).warnings.join()).toContain(
      'is a mount point, so restores will fail',
    );
    const { bytes, source } = await takeBackup(engine, connection);
    const refused = { code: 'InstanceRefused', message: expect.stringContaining('mount point') };
    await expect(engine.assertRestorable(connection, source, never)).rejects.toMatchObject(refused);
    await expect(engine.restore(connection, streamOf(bytes), ticketFor(source), never)).rejects.toMatchObject(
      refused,
    );
  },
);

test.skipIf(noTmpfs)(`a folder with a mount point in it is refused${noTmpfs}`, async () => {
  const inside = join(instance.path, 'm ü');
  await mkdir(inside);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'forestay-test', inside]);
  try {
    await expect(instance.engine.backUp(instance.connection, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining('Another file system is mounted within the folder'),
    });
  } finally {
    await run('umount', [inside]);
  }
});

test('staging is open to nobody else, since it may hold programs with rights', async () => {
  await chmod(instance.path, 0o777);
  const backup = await takeBackup(instance.engine, instance.connection);
  let mode = '';
  const beforeSwitch = async () => {
    mode = (await run('find', [instance.root, '-name', '.forestay*', '-printf', '%m'])).stdout;
  };
  const ticket = ticketFor(backup.source, { beforeSwitch });
  await instance.engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(mode).toBe('700');
});
