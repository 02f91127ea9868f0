import { directoryStores } from './directory.ts';
import type { StoreKind } from './layout.ts';
import { s3Stores } from './s3.ts';

/** One line for each kind of store that the story can be told with; the first is taken unless another is asked for. */
const kinds = { directory: directoryStores, s3: s3Stores } satisfies Readonly<Record<string, StoreKind>>;

export const storeKinds: readonly string[] = Object.keys(kinds);

/** Undefined where there is none of that name. */
export function findStoreKind(name: string): StoreKind | undefined {
  return Object.entries(kinds).find(([each]) => each === name)?.[1];
}
