import { assertKey } from '../../core/object-key.ts';
import type { ObjectStore } from '../object-store.ts';
import { removeAbandonedPuts } from './abandoned.ts';
import { type AzureStoreOptions, openContainer } from './container.ts';
import { deleteObjects } from './delete.ts';
import { listObjects } from './list.ts';
import { presign } from './presign.ts';
import { putObject } from './put.ts';
import { getObject, headObject } from './read.ts';

/**
 * The store that is (a part of) a container of block blobs of Azure. Everything below the prefix is the store's. What a `put` has
 * resolved is as durable as the redundancy of the storage account makes it. `ifAbsent` is decided by the service.
 */
export function createAzureStore(options: AzureStoreOptions): ObjectStore {
  const container = openContainer(options);
  return {
    name: container.name,
    async put(key, source, { signal, ifAbsent = false }) {
      return putObject(container, key, source, { signal, ifAbsent });
    },
    async get(key, { signal, range }) {
      assertKey(key);
      return getObject(container, key, range ? { signal, range } : { signal });
    },
    async head(key, signal) {
      assertKey(key);
      const found = await headObject(container, key, signal);
      return found && { key, size: found.size, modifiedAt: found.modifiedAt };
    },
    list(prefix, signal) {
      return listObjects(container, prefix, signal);
    },
    async delete(keys, signal) {
      for (const key of keys) assertKey(key);
      await deleteObjects(container, keys, signal);
    },
    async removeAbandonedPuts(options) {
      return removeAbandonedPuts(container, options);
    },
    ...(container.location.presign ? { presign: (key, wanted) => presign(container, key, wanted) } : {}),
  } satisfies ObjectStore;
}
