import type { ObjectStore } from '../../src/storage/object-store.ts';

/** Places where a test can make a store wait, fail or lie. */
export interface StoreFaults {
  beforePut?: ((key: string) => Promise<void>) | undefined;
  afterPut?: ((key: string) => Promise<void>) | undefined;
  beforeGet?: ((key: string) => Promise<void>) | undefined;
  beforeDelete?: ((keys: readonly string[]) => Promise<void>) | undefined;
  onHead?: ((key: string, size: number) => number | undefined) | undefined;
}

export function faultyStore(faults: StoreFaults): (store: ObjectStore) => ObjectStore {
  return (store) => ({
    ...store,
    async put(key, source, options) {
      await faults.beforePut?.(key);
      const written = await store.put(key, source, options);
      await faults.afterPut?.(key);
      return written;
    },
    async get(key, options) {
      await faults.beforeGet?.(key);
      return store.get(key, options);
    },
    async delete(keys, signal) {
      await faults.beforeDelete?.(keys);
      await store.delete(keys, signal);
    },
    async head(key, signal) {
      const info = await store.head(key, signal);
      if (!info || !faults.onHead) return info;
      const size = faults.onHead(key, info.size);
      return size === undefined ? undefined : { ...info, size };
    },
  });
}
