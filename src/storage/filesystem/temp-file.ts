import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, opendir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { AbandonedPutsOptions } from '../object-store.ts';
import { assertMounted, isErrno, onDisk } from './errors.ts';
import { assertRealFolder } from './folders.ts';

/** Where objects are while they are being written: in the root, hence in the same file system, and never listed. */
export const tempFolderName = '.forestay-tmp';

export interface TempFile {
  readonly path: string;
  readonly handle: FileHandle;
}

export async function createTempFile(root: string, key: string): Promise<TempFile> {
  const folder = join(root, tempFolderName);
  const path = join(folder, tempNameOf(key));
  return onDisk(root, async () => {
    await mkdir(folder, { mode: 0o700 }).catch(async (error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
      await assertRealFolder(folder);
    });
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    return { path, handle: await open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600) };
  });
}

/** Never throws: it runs where another error is on its way, and what it cannot remove `removeAbandonedPuts` will. */
export async function discardTempFile(temp: TempFile): Promise<void> {
  await temp.handle.close().catch(() => {});
  await unlink(temp.path).catch(() => {});
}

/**
 * Removes the temporary files that were last written to before `before`: those of processes that died. A put that is
 * alive but got no byte since then loses its file, too, and fails; so let `before` be a day ago. What does not say which
 * key it was for goes as if it were ours.
 */
export async function removeAbandonedPuts(
  root: string,
  { before, isOurs, signal }: AbandonedPutsOptions,
): Promise<number> {
  signal.throwIfAborted();
  await assertMounted(root);
  return onDisk(root, async () => {
    let removed = 0;
    for await (const name of namesIn(join(root, tempFolderName))) {
      signal.throwIfAborted();
      const key = keyOf(name);
      if (key !== undefined && !isOurs(key)) continue;
      if (await removeIfOlder(join(root, tempFolderName, name), before)) removed++;
    }
    return removed;
  });
}

/** The key, with what no key has in place of its slashes: whoever finds the file later must know whose it is. */
function tempNameOf(key: string): string {
  const name = `${randomUUID()}+${key.replaceAll('/', '+')}`;
  // Keys of backups are about 100 characters; one that does not fit into a name is left out.
  return name.length <= 255 ? name : randomUUID();
}

function keyOf(tempName: string): string | undefined {
  const [, ...segments] = tempName.split('+');
  return segments.length === 0 ? undefined : segments.join('/');
}

/** A link in its place could lead anywhere, and what lies there is not ours to remove. */
async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    await assertRealFolder(folder);
    for await (const entry of await opendir(folder)) yield entry.name;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** False when it is younger, or gone: its put has just ended. */
async function removeIfOlder(path: string, before: Date): Promise<boolean> {
  try {
    if ((await lstat(path)).mtime >= before) return false;
    await unlink(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
