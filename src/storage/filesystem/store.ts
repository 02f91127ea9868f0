import { resolve } from 'node:path';
import { assertKey } from '../../core/object-key.ts';
import type { ObjectStore } from '../object-store.ts';
import { deleteObjects } from './delete.ts';
import { listObjects } from './list.ts';
import { putObject } from './put.ts';
import { getObject, headObject } from './read.ts';
import { removeAbandonedPuts } from './temp-file.ts';

/**
 * The store that is a folder: an object is a file, its key the path below `root`. What a `put` has resolved survives a
 * power cut (as far as the file system keeps what fsync promises). Files are 0600, folders 0700.
 *
 * Nothing here ever creates `root`: `prepareFilesystemStore` did so once and left a marker file in it. While the marker
 * is not there, every call fails with `StoreUnavailable`, so that the bare mount point of a disk that is not mounted is
 * neither filled nor taken for an empty store. Names that begin with a dot are the store's own and never objects.
 *
 * Aborting ends a call between two system calls and while it waits for its source, not within a system call that hangs.
 */
export function createFilesystemStore(options: { readonly root: string }): ObjectStore {
  const root = resolve(options.root);
  return {
    name: `file:${root}`,
    async put(key, source, { signal, ifAbsent = false }) {
      return putObject(root, key, source, { signal, ifAbsent });
    },
    async get(key, { signal, range }) {
      assertKey(key);
      return getObject(root, key, range, signal);
    },
    async head(key, signal) {
      assertKey(key);
      return headObject(root, key, signal);
    },
    list(prefix, signal) {
      return listObjects(root, prefix, signal);
    },
    async delete(keys, signal) {
      for (const key of keys) assertKey(key);
      await deleteObjects(root, keys, signal);
    },
    async removeAbandonedPuts(options) {
      return removeAbandonedPuts(root, options);
    },
  };
}
