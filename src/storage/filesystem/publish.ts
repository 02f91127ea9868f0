import { link, lstat, rename, unlink } from 'node:fs/promises';
import { ForestayError } from '../../core/errors.ts';
import { assertMounted, isErrno, objectExists, onDisk } from './errors.ts';
import { makeFolders, removeEmptyFolders, syncFolder } from './folders.ts';
import { foldersOf, pathOf } from './paths.ts';
import type { TempFile } from './temp-file.ts';

/** How often a concurrent delete may take the folder away under a put before the put gives up. */
const maxAttempts = 100;

/**
 * Gives a durable temporary file its key, at one moment, and makes that durable, too. Throws `ObjectExists` with
 * `ifAbsent`. Aborting has an effect until that moment, none after it. If it fails after it (the disk died between
 * rename and fsync), the object is visible, but nobody knows whether it survives.
 */
export async function publish(
  root: string,
  temp: TempFile,
  key: string,
  options: { readonly signal: AbortSignal; readonly ifAbsent: boolean },
): Promise<void> {
  await onDisk(root, async () => {
    await nameIt(root, temp, key, options);
    // All folders, not only the ones made here: one that a concurrent put made a moment ago may not be durable yet, and
    // this object must not depend on the other put's success. For a folder that did not change, fsync costs next to nothing.
    for (const folder of [...foldersOf(root, key).reverse(), root]) {
      await syncFolder(folder).catch((error: unknown) => {
        // A delete has been faster, and removed the object together with its folder.
        if (folder === root || !isErrno(error, 'ENOENT')) throw error;
      });
    }
  });
}

async function nameIt(
  root: string,
  temp: TempFile,
  key: string,
  { signal, ifAbsent }: { readonly signal: AbortSignal; readonly ifAbsent: boolean },
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const made: string[] = [];
    try {
      await assertMounted(root);
      await makeFolders(root, key, made);
      signal.throwIfAborted();
      if (ifAbsent) await linkIfAbsent(temp, root, key);
      else await rename(temp.path, pathOf(root, key));
      return;
    } catch (error) {
      await removeEmptyFolders(made.reverse());
      if (!isErrno(error, 'ENOENT') || attempt === maxAttempts) throw error;
      await assertTempIsThere(root, temp);
    }
  }
}

/** Unlike rename, link never replaces. */
async function linkIfAbsent(temp: TempFile, root: string, key: string): Promise<void> {
  try {
    await link(temp.path, pathOf(root, key));
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    // NFS repeats a request whose answer got lost: then the link that "exists" is ours (open(2), O_EXCL).
    if ((await lstat(temp.path)).nlink < 2) throw objectExists(key);
  }
  // The object is there: a second name that cannot be removed now is no reason to fail.
  await unlink(temp.path).catch(() => {});
}

async function assertTempIsThere(root: string, temp: TempFile): Promise<void> {
  await assertMounted(root);
  await lstat(temp.path).catch((cause: unknown) => {
    throw new ForestayError(
      'StoreUnavailable',
      'The temporary file of the object being stored has vanished.',
      {
        hint: `Nothing but Forestay may remove files in the folder of the store, file:${root}.`,
        cause,
      },
    );
  });
}
