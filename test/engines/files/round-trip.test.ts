import { execFile, execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { program } from '../../pipeline/programs.ts';
import { mountTmpfs, whyNoTmpfs } from '../../storage/filesystem/tmpfs.ts';
import { type FolderInstance, makeFolder } from './instance.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const noTmpfs = whyNoTmpfs();
const isRoot = process.getuid?.() === 0;
const notRoot = isRoot ? '' : ' [not run: it takes root to prepare it]';

let instance: FolderInstance;
let folder: string;
beforeEach(async () => {
  instance = await makeFolder();
  folder = await mkdtemp(join(tmpdir(), 'round-trip-'));
});
afterEach(async () => {
  expect(await instance.remains()).toEqual([]);
  await instance.close();
  await rm(folder, { recursive: true });
});

test('tar itself finds no difference between a backup and what was restored of it', async () => {
  await instance.fill('hostile');
  const backup = await takeBackup(instance.engine, instance.connection);
  await instance.write();
  await instance.engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
  const archive = join(folder, 'backup.tar');
  await writeFile(archive, backup.bytes);
  const { stdout, stderr } = await run('tar', ['--compare', '--file', archive, '--directory', instance.path]);
  expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
});

test('sparse files stay sparse, in the backup and on the disk', async () => {
  await instance.fill('hostile');
  const backup = await takeBackup(instance.engine, instance.connection);
  expect(backup.bytes.length).toBeLessThan(1024 * 1024);
  await instance.engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
  const { size, blocks } = await stat(join(instance.path, 'sparse'));
  expect({ size, onDisk: blocks < 1000 }).toEqual({ size: 200 * 1024 ** 2, onDisk: true });
});

/** Numbers of setxattr and getxattr, for which Node has no functions. */
const calls = { x64: [188, 191], arm64: [5, 8] }[process.arch as string];
const attribute = (path: string, value?: string) => {
  const [set, get] = calls ?? [];
  // The arguments must be variables: perl lets system calls change them.
  const script = value
    ? 'my ($n, $v) = ("user.forestay", $ARGV[2]); exit(syscall($ARGV[1], $ARGV[0], $n, $v, length $v, 0) == 0 ? 0 : 1)'
    : 'my ($n, $v) = ("user.forestay", "\\0" x 100); my $l = syscall($ARGV[1], $ARGV[0], $n, $v, 100); print substr($v, 0, $l)';
  return execFileSync('perl', [
    '-e',
    `$ARGV[1] += 0; ${script}`,
    path,
    String(value ? set : get),
    value ?? '',
  ]).toString();
};

test.runIf(calls)(
  `extended attributes are kept${calls ? '' : ` [not run: the numbers of the system calls of ${process.arch} are not known here]`}`,
  async () => {
    const file = join(instance.path, 'with attribute');
    await writeFile(file, '');
    attribute(file, 'a value of it');
    const backup = await takeBackup(instance.engine, instance.connection);
    await rm(file);
    const ticket = ticketFor(backup.source);
    const { notKept } = await instance.engine.restore(
      instance.connection,
      streamOf(backup.bytes),
      ticket,
      never,
    );
    expect(notKept).toEqual([]);
    expect(attribute(file)).toBe('a value of it');
  },
);

test.skipIf(noTmpfs)(`100,000 small files are backed up and restored in good time${noTmpfs}`, async () => {
  // In memory, so that the time is that of the engine and not of a disk that others use.
  await using disk = await mountTmpfs('512m');
  const many = await makeFolder({ inRoot: disk.mountPoint });
  const script =
    'cd "$1" && for d in $(seq 100); do mkdir $d && (cd $d && seq 999 | xargs touch && echo x > x); done';
  await run('sh', ['-c', script, 'sh', many.path]);
  const startedAt = performance.now();
  const backup = await takeBackup(many.engine, many.connection);
  const backedUpAt = performance.now();
  await many.engine.restore(many.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
  const restoredAt = performance.now();
  expect((await readdir(join(many.path, '100'))).length).toBe(1000);
  // Measured on two cores: 2 s and 4 s.
  expect(backedUpAt - startedAt).toBeLessThan(30_000);
  expect(restoredAt - backedUpAt).toBeLessThan(30_000);
});

test('a file that grows while it is read fails the backup, which is worth another try', async () => {
  await instance.fill('bulk');
  const { stream } = await instance.engine.backUp(instance.connection, never);
  const reading = (async () => {
    for await (const _ of stream) await appendFile(join(instance.path, 'pictures', '39.jpg'), 'more');
  })();
  await expect(reading).rejects.toMatchObject({
    code: 'InstanceBusy',
    retryable: true,
    message: expect.stringMatching(/changed while it was backed up: .*39\.jpg/),
    hint: expect.any(String),
  });
});

test('what is added behind the back of tar is noticed, too', async () => {
  await instance.fill('bulk');
  const { stream } = await instance.engine.backUp(instance.connection, never);
  const reading = (async () => {
    for await (const _ of stream) await writeFile(join(instance.path, 'added'), 'late');
  })();
  await expect(reading).rejects.toMatchObject({ code: 'InstanceBusy' });
});

test('where the connection allows it, such a backup is kept, and every restore of it says so', async () => {
  await instance.fill('bulk');
  const connection = instance.engine.parseConnection({ path: instance.path, changes: 'report' });
  const { stream, details } = await instance.engine.backUp(connection, never);
  const pieces: Buffer[] = [];
  for await (const piece of stream) {
    pieces.push(piece as Buffer);
    await appendFile(join(instance.path, 'pictures', '39.jpg'), 'more');
    await rm(join(instance.path, 'pictures', '38.jpg'), { force: true });
  }
  const ticket = ticketFor({ engineVersion: '1', details: JSON.parse(JSON.stringify(details)) });
  const { notKept } = await instance.engine.restore(
    connection,
    streamOf(Buffer.concat(pieces)),
    ticket,
    never,
  );
  expect(notKept.join('\n')).toMatch(/^When the backup was made: .*(files may be of different moments)/m);
});

test('what a process listens on is left out', async () => {
  const script = 'use IO::Socket::UNIX; IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die $!';
  await run('perl', ['-e', script, join(instance.path, 'socket')]).catch(() =>
    run('python3', [
      '-c',
      'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
      join(instance.path, 'socket'),
    ]),
  );
  const backup = await takeBackup(instance.engine, instance.connection);
  const ticket = ticketFor(backup.source);
  const { notKept } = await instance.engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticket,
    never,
  );
  expect(notKept).toEqual([]);
  expect(await readdir(instance.path)).toEqual([]);
});

test.runIf(isRoot)(`device nodes are refused${notRoot}`, async () => {
  await run('mknod', [join(instance.path, 'null'), 'c', '1', '3']);
  await expect(instance.engine.backUp(instance.connection, never)).rejects.toMatchObject({
    code: 'InstanceRefused',
    message: 'The folder holds a device node, null.',
  });
  const { warnings } = await instance.engine.probe(instance.connection, never);
  expect(warnings.join()).toContain('device node');
});

test('staging of an instance within the folder is not part of it', async () => {
  await mkdir(join(instance.path, `.forestay-restore-${'0'.repeat(32)}-before`));
  await writeFile(join(instance.path, `.forestay-restore-${'0'.repeat(32)}-before`, 'data'), 'x');
  const { bytes } = await takeBackup(instance.engine, instance.connection);
  await writeFile(join(folder, 'backup.tar'), bytes);
  const { stdout } = await run('tar', ['--list', '--file', join(folder, 'backup.tar')]);
  expect(stdout).toBe('./\n');
});

test.runIf(isRoot)(`a file that the worker may not read fails the backup clearly${notRoot}`, async () => {
  await run('chmod', ['755', instance.root, instance.path]);
  await writeFile(join(instance.path, 'secret'), 'x', { mode: 0o600 });
  const programs = { tar: program('tar-as-nobody.sh') };
  const as = await makeFolder({ programs, inRoot: instance.root, name: 'other' });
  const reading = takeBackup(as.engine, instance.connection);
  await expect(reading).rejects.toMatchObject({
    code: 'InstanceRefused',
    message: expect.stringContaining('secret: Cannot open: Permission denied'),
    hint: expect.any(String),
  });
});

test('a file system that does not answer ends a backup', async () => {
  const hanging = await makeFolder({ programs: { tar: program('tar-that-hangs.sh') }, stallMs: 200 });
  await expect(takeBackup(hanging.engine, hanging.connection)).rejects.toMatchObject({
    code: 'InstanceUnreachable',
  });
  expect(await hanging.remains()).toEqual([]);
  await hanging.close();
});

test('a tar that only says that it succeeded does not empty the folder', async () => {
  await instance.fill('bulk');
  const backup = await takeBackup(instance.engine, instance.connection);
  const before = await instance.fingerprint();
  const lying = await makeFolder({
    programs: { tar: program('tar-that-lies.sh') },
    inRoot: instance.root,
    name: 'other',
  });
  const restoring = lying.engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  await expect(restoring).rejects.toMatchObject({ code: 'ToolFailed' });
  expect(await instance.fingerprint()).toEqual(before);
});

test('a tar that leaves something out makes no backup', async () => {
  await writeFile(join(instance.path, 'omitted'), 'x');
  const programs = { tar: program('tar-that-omits.sh') };
  const omitting = await makeFolder({ programs, inRoot: instance.root, name: 'other' });
  await expect(takeBackup(omitting.engine, instance.connection)).rejects.toMatchObject({
    code: 'ToolFailed',
    message: 'tar reported success, but wrote 1 of 2 files and folders.',
  });
});

test('a path that tar can read but not make again is refused, one a byte shorter is restored', async () => {
  const steps = 'for i in $(seq 40); do mkdir $0 && cd $0 || exit; done';
  const deepen = (name: string) =>
    run('sh', ['-c', `cd "$1" && { ${steps}; } && touch "$2"`, 'n'.repeat(100), instance.path, name]);
  await deepen('x'.repeat(53));
  const { bytes, source } = await takeBackup(instance.engine, instance.connection);
  const before = await instance.fingerprint();
  await instance.engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
  expect(await instance.fingerprint()).toEqual(before);
  await run('rm', ['-r', join(instance.path, 'n'.repeat(100))]);
  await deepen('x'.repeat(54));
  await expect(instance.engine.backUp(instance.connection, never)).rejects.toMatchObject({
    code: 'InstanceRefused',
    message: expect.stringMatching(/^The folder holds a path too long to be restored: nnn/),
  });
  const { warnings } = await instance.engine.probe(instance.connection, never);
  expect(warnings.join()).toContain('too long to be restored');
});

test.runIf(isRoot && calls)(
  `a file with more attributes than a restore takes fails the backup, not the restore${notRoot}`,
  async () => {
    await using disk = await mountTmpfs('64m');
    const rich = await makeFolder({ inRoot: disk.mountPoint });
    await writeFile(join(rich.path, 'rich'), '');
    const script = `my $v = "x" x 65000; for (1..140) { my $n = "trusted.$_"; exit 1 if syscall($ARGV[1] + 0, $ARGV[0], $n, $v, length $v, 0) }`;
    await run('perl', ['-e', script, join(rich.path, 'rich'), String(calls?.[0])]);
    await expect(takeBackup(rich.engine, rich.connection)).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining('more than 8 MiB'),
    });
  },
);

test.runIf(isRoot)(
  `a worker that is not root gives nobody its rights with what it restores${notRoot}`,
  async () => {
    await writeFile(join(instance.path, 'program'), 'x');
    await run('chown', ['12345:54321', join(instance.path, 'program')]);
    await chmod(join(instance.path, 'program'), 0o6755);
    const { bytes, source } = await takeBackup(instance.engine, instance.connection);
    const notAsRoot = vi.spyOn(process, 'getuid').mockReturnValue(4711);
    try {
      const { engine, connection } = instance;
      const { notKept } = await engine.restore(connection, streamOf(bytes), ticketFor(source), never);
      expect(notKept.join()).toContain('no file is setuid or setgid');
    } finally {
      notAsRoot.mockRestore();
    }
    const { mode, uid } = await stat(join(instance.path, 'program'));
    expect({ mode: mode & 0o7777, uid }).toEqual({ mode: 0o755, uid: 0 });
  },
);

test('folders that may not be exchanged are told as such, with what to do', async () => {
  const programs = { perl: program('perl-without-the-right.sh') };
  const held = await makeFolder({ programs, inRoot: instance.root, name: 'other' });
  const { bytes, source } = await takeBackup(held.engine, held.connection);
  const restoring = held.engine.restore(held.connection, streamOf(bytes), ticketFor(source), never);
  await expect(restoring).rejects.toMatchObject({
    code: 'InstanceRefused',
    message: 'The restore failed (EACCES).',
    hint: expect.any(String),
  });
});

test('another tar than that of GNU is refused', async () => {
  const other = await makeFolder({ programs: { tar: 'true' } });
  await expect(other.engine.probe(other.connection, never)).rejects.toMatchObject({ code: 'ToolMissing' });
  await other.close();
  const tools = await instance.engine.tools(never);
  expect(tools.map(({ tool, found }) => [tool, found.length])).toEqual([
    ['tar', 1],
    ['find', 1],
    ['perl', 1],
  ]);
});
