import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareFilesystemStore } from '../../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../../../src/storage/object-store.ts';

export interface TempStore extends AsyncDisposable {
  readonly store: ObjectStore;
  readonly root: string;
  /** Temporary files of puts. */
  temps(): Promise<string[]>;
  /** Everything in the root that is not the store's own. */
  visible(): Promise<string[]>;
}

/** A directory store in a temporary folder of its own, or in a given one that already is there. */
export async function makeTempStore(givenRoot?: string): Promise<TempStore> {
  const base = await mkdtemp(join(tmpdir(), 'forestay-store-'));
  const root = givenRoot ?? join(base, 'store');
  await prepareFilesystemStore(root);
  return {
    store: createFilesystemStore({ root }),
    root,
    temps: () => readdir(join(root, '.forestay-tmp')).catch(() => []),
    visible: async () => (await readdir(root)).filter((name) => !name.startsWith('.forestay-')),
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  };
}

/** Files and folders below `root` that this process has open. Linux only, like everything that looks into /proc. */
export async function openFilesBelow(root: string): Promise<string[]> {
  const fds = await readdir('/proc/self/fd');
  const paths = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return paths.filter((path) => path.startsWith(`${root}/`) || path === root);
}
