import type { Dir } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { assertPrefix, isSegment } from '../../core/object-key.ts';
import type { ObjectInfo } from '../object-store.ts';
import { assertMounted, isErrno, onDisk } from './errors.ts';
import { assertNoLinks } from './folders.ts';

/**
 * Walks the folders as it is read: memory does not grow with the number of objects. Objects put or deleted meanwhile may
 * or may not be seen, all others are seen once. What is neither a file nor a folder, or has a name that no key has, is no
 * object. A store that disappears meanwhile is an error, not the end of the list.
 */
export async function* listObjects(
  root: string,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  assertPrefix(prefix);
  signal.throwIfAborted();
  await assertMounted(root);
  const nameStart = prefix.lastIndexOf('/') + 1;
  const folder = prefix.slice(0, nameStart);
  if (await ifThere(root, () => assertNoLinks(root, prefix).then(() => true))) {
    yield* walk(root, folder, prefix.slice(nameStart), signal);
  }
  await assertMounted(root);
}

/** `folder` is empty or ends with a slash. */
async function* walk(
  root: string,
  folder: string,
  nameStart: string,
  signal: AbortSignal,
): AsyncGenerator<ObjectInfo> {
  const entries: Dir | undefined = await ifThere(root, () =>
    opendir(join(root, folder), { bufferSize: 256 }),
  );
  if (!entries) return;
  try {
    while (true) {
      signal.throwIfAborted();
      const entry = await onDisk(root, () => entries.read());
      if (!entry) return;
      if (!isSegment(entry.name) || !entry.name.startsWith(nameStart)) continue;
      const key = `${folder}${entry.name}`;
      if (entry.isDirectory()) {
        yield* walk(root, `${key}/`, '', signal);
      } else if (entry.isFile()) {
        const found = await ifThere(root, () => lstat(join(root, key)));
        if (found?.isFile()) yield { key, size: found.size, modifiedAt: found.mtime };
      }
    }
  } finally {
    await entries.close();
  }
}

async function ifThere<T>(root: string, step: () => Promise<T>): Promise<T | undefined> {
  return onDisk(root, async () => {
    try {
      return await step();
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    }
  });
}
