import { lstat, mkdir, open, rmdir } from 'node:fs/promises';
import { errno, isErrno } from './errors.ts';
import { foldersOf } from './paths.ts';

/** Makes the folders a key lies in; those it had to make are added to `made`, outermost first, also when it fails. */
export async function makeFolders(root: string, key: string, made: string[]): Promise<void> {
  for (const folder of foldersOf(root, key)) {
    try {
      await mkdir(folder, { mode: 0o700 });
      made.push(folder);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
      await assertRealFolder(folder);
    }
  }
}

/** Every folder of the key is a folder: the path does not leave the store. Throws an errno where there is none. */
export async function assertNoLinks(root: string, key: string): Promise<void> {
  for (const folder of foldersOf(root, key)) {
    await assertRealFolder(folder);
  }
}

/** Throws ELOOP for a symbolic link, which could lead out of the store, and ENOTDIR for anything else that is no folder. */
export async function assertRealFolder(folder: string): Promise<void> {
  const found = await lstat(folder);
  if (found.isDirectory()) return;
  throw errno(found.isSymbolicLink() ? 'ELOOP' : 'ENOTDIR', `${folder} is no folder`);
}

/** Deepest first; those that are not empty (any more) stay. */
export async function removeEmptyFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    try {
      await rmdir(folder);
    } catch {
      return;
    }
  }
}

/** Some network and FUSE file systems know no fsync of folders and say EINVAL or ENOTSUP: they order by themselves. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync().catch((error: unknown) => {
      if (!isErrno(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP')) throw error;
    });
  } finally {
    await handle.close();
  }
}
