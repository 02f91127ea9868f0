import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { ForestayError } from '../../core/errors.ts';
import { isErrno, markerName, storeError } from './errors.ts';
import { syncFolder } from './folders.ts';

/** What a folder may hold and still count as empty: things that file systems and file servers put there. */
const notOurs = new Set(['lost+found', '.snapshot', '.zfs']);

/**
 * Sets a folder up as a store, once, and recognises it ever after. To be called when a process that uses the store starts,
 * and only then: nothing else creates the folder.
 *
 * - The marker file is there: resolves with the id it holds.
 * - The folder is absent (its parent must exist) or empty: makes it (0700), with a marker file that holds a new id.
 * - Anything else: throws `Misconfigured`. So it does on a file system without hard links, which the store needs.
 *
 * The empty mount point of a disk that is not mounted looks like a new folder. Who remembers the id passes it as
 * `expectedId`: then nothing is created, and a folder without marker, or with another one, throws `StoreUnavailable`.
 */
export async function prepareFilesystemStore(
  rootPath: string,
  options: { readonly expectedId?: string; readonly signal?: AbortSignal } = {},
): Promise<{ id: string; created: boolean }> {
  const root = resolve(rootPath);
  options.signal?.throwIfAborted();
  const found = await readMarker(root);
  if (options.expectedId !== undefined && found !== options.expectedId) {
    throw new ForestayError(
      'StoreUnavailable',
      `The folder of the store file:${root} is not the one it was.`,
      {
        hint: `Its marker file ${markerName} is ${found === undefined ? 'missing' : 'that of another store'}; expected is ${options.expectedId}. Is the right disk or network file system mounted there?`,
      },
    );
  }
  if (found !== undefined) return { id: found, created: false };

  await makeRoot(root);
  options.signal?.throwIfAborted();
  const created = await writeMarker(root);
  const id = await readMarker(root);
  if (id === undefined)
    throw new ForestayError('StoreUnavailable', `The store file:${root} vanished while it was set up.`);
  return { id, created };
}

/** The id in the marker, undefined where there is no marker. */
async function readMarker(root: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await readFile(join(root, markerName), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ENOTDIR'))
      throw misconfigured(root, 'is not a folder', 'Name a folder, or a place for a new one.', error);
    throw storeError(root, error);
  }
  const id = /^forestay store 1 ([0-9a-f-]{36})\n/.exec(text)?.[1];
  if (id !== undefined) return id;
  throw misconfigured(
    root,
    `has a marker file ${markerName} that is not readable to this version`,
    'It is damaged, or was written by a newer version of Forestay.',
  );
}

async function makeRoot(root: string): Promise<void> {
  try {
    await mkdir(root, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) {
      throw misconfigured(
        root,
        'cannot be created: the folder it should lie in is not there',
        `Create ${dirname(root)} first, or mount what should be there.`,
        error,
      );
    }
    if (!isErrno(error, 'EEXIST')) throw storeError(root, error);
  }
  const names = await onDiskBeforeSetup(root, () => readdir(root));
  // What begins with our own name is left from a setup that was cut short, or appears just now from a concurrent one.
  const strange = names.filter((name) => !notOurs.has(name) && !name.startsWith('.forestay-'));
  if (strange.length > 0) {
    throw misconfigured(
      root,
      `is not empty and has no marker file ${markerName}`,
      `Name an empty folder. If it is a store whose marker got lost, write it again as docs/stores/directory.md says.`,
    );
  }
}

/** Whether it was this call that wrote it: of several at once, one does. */
async function writeMarker(root: string): Promise<boolean> {
  const marker = join(root, markerName);
  const temp = `${marker}.${randomUUID()}`;
  return onDiskBeforeSetup(root, async () => {
    const handle = await open(temp, 'wx', 0o600);
    try {
      await handle.writeFile(
        `forestay store 1 ${randomUUID()}\nThis folder is a store of Forestay. Without this file it is taken for one that is not mounted.\n`,
      );
      await handle.sync();
    } finally {
      await handle.close();
    }
    try {
      await link(temp, marker);
    } catch (cause) {
      if (isErrno(cause, 'EEXIST')) return false;
      if (!isErrno(cause, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw cause;
      throw misconfigured(
        root,
        'lies on a file system without hard links',
        'Use a file system that has them: ext4, XFS, Btrfs, ZFS, NFS …',
        cause,
      );
    } finally {
      await unlink(temp).catch(() => {});
    }
    await syncFolder(root);
    await syncFolder(dirname(root));
    return true;
  });
}

/** As `onDisk`, but there is no marker yet whose absence would mean something. */
async function onDiskBeforeSetup<T>(root: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw storeError(root, error);
  }
}

function misconfigured(root: string, what: string, hint: string, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', `The store file:${root} ${what}.`, { hint, cause });
}
