import { unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assertMounted, isErrno, onDisk } from './errors.ts';
import { assertNoLinks, removeEmptyFolders, syncFolder } from './folders.ts';
import { foldersOf, pathOf } from './paths.ts';

/**
 * Removes objects, makes that durable, then removes the folders that became empty, up to the root. A concurrent put that
 * loses its folder to this makes it again. When it fails or is aborted, some of the objects may be gone.
 */
export async function deleteObjects(
  root: string,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  await assertMounted(root);
  await onDisk(root, async () => {
    /** Folders that lost something, with one of the keys in each. */
    const changed = new Map<string, string>();
    for (const key of keys) {
      signal.throwIfAborted();
      if (await removeObject(root, key)) changed.set(dirname(pathOf(root, key)), key);
    }
    for (const folder of changed.keys()) {
      await syncFolder(folder).catch((error: unknown) => {
        if (!isErrno(error, 'ENOENT')) throw error;
      });
    }
    for (const key of changed.values()) {
      await removeEmptyFolders(foldersOf(root, key).reverse());
    }
  });
  // Everything seems to be deleted already where a disk is not mounted any more.
  await assertMounted(root);
}

/** Whether there was such an object. A folder is none, and unlink refuses folders (EISDIR; EPERM by POSIX). */
async function removeObject(root: string, key: string): Promise<boolean> {
  try {
    await assertNoLinks(root, key);
    await unlink(pathOf(root, key));
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return false;
    throw error;
  }
}
