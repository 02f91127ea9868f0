import { lstat, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { hasErrno } from './errno.ts';
import { asideIn, dataIn, markerIn } from './folder-names.ts';

/**
 * A container holds either the staged data, or, after the two were exchanged, the data that was replaced. Which one it is can
 * be told at any time from the inode of the staged folder, which is written down before the exchange.
 */
export type Held = 'staged' | 'replaced' | 'nothing';

export async function createContainer(container: string): Promise<void> {
  await mkdir(container, { mode: 0o700 });
  await mkdir(dataIn(container), { mode: 0o700 });
}

/** To be called when everything is staged. It lasts: the marker is on disk before this resolves. */
export async function markStaged(container: string): Promise<void> {
  const inode = await inodeOf(dataIn(container));
  await writeFile(markerIn(container), `${JSON.stringify({ staged: inode })}\n`, { flush: true });
  await syncFolder(container);
}

export async function whatIsHeld(container: string): Promise<Held> {
  const [inode, marker] = await Promise.all([inodeOf(dataIn(container)), readMarker(container)]);
  if (inode === undefined) return 'nothing';
  return marker === undefined || marker === inode ? 'staged' : 'replaced';
}

/**
 * Mends what a crash between two renames left: the instance's folder comes back where it is missing, and what was put aside
 * goes where it belongs.
 */
export async function repair(container: string, path: string): Promise<void> {
  if ((await inodeOf(asideIn(container))) === undefined) return;
  if ((await inodeOf(dataIn(container))) === undefined) await rename(asideIn(container), dataIn(container));
  else await rename(asideIn(container), path);
}

export async function exists(path: string): Promise<boolean> {
  return (await inodeOf(path)) !== undefined;
}

/** Undefined when nothing is there. */
async function inodeOf(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path, { bigint: true })).ino.toString();
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function readMarker(container: string): Promise<string | undefined> {
  try {
    const { staged } = JSON.parse(await readFile(markerIn(container), 'utf8')) as { staged?: unknown };
    return typeof staged === 'string' ? staged : undefined;
  } catch (error) {
    // A marker that was not written whole belongs to an attempt that had not exchanged anything.
    if (hasErrno(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
