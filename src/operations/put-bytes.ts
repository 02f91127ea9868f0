import type { ObjectStore, PutOptions } from '../storage/object-store.ts';

/** Puts a small object whose bytes are at hand. Throws what `ObjectStore.put` throws. */
export async function putBytes(
  store: ObjectStore,
  key: string,
  bytes: Uint8Array,
  options: PutOptions,
): Promise<void> {
  await store.put(key, once(bytes), options);
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
