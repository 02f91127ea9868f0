import { lstat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { assertKey } from '../../core/object-key.ts';
import { assertMounted, errno, isErrno, objectExists, onDisk } from './errors.ts';
import { pathOf } from './paths.ts';
import { publish } from './publish.ts';
import { createTempFile, discardTempFile, type TempFile } from './temp-file.ts';
import { writeSource } from './write-source.ts';

/**
 * Writes beside, makes it durable, and only then gives it its name. The source is always ended: read to its end, or
 * closed. Its own errors are passed on as they are.
 */
export async function putObject(
  root: string,
  key: string,
  source: AsyncIterable<Uint8Array>,
  options: { readonly signal: AbortSignal; readonly ifAbsent: boolean },
): Promise<{ size: number }> {
  let temp: TempFile | undefined;
  try {
    assertKey(key);
    options.signal.throwIfAborted();
    await assertMounted(root);
    await assertPlaceIsFree(root, key, options.ifAbsent);
    temp = await createTempFile(root, key);
    const { handle } = temp;
    const size = await writeSource(root, handle, source, options.signal);
    await onDisk(root, async () => {
      await handle.sync();
      await handle.close();
    });
    await publish(root, temp, key, options);
    return { size };
  } catch (error) {
    if (temp) await discardTempFile(temp);
    // A source that was never begun would otherwise wait for its reader for ever.
    if (source instanceof Readable) source.destroy();
    throw error;
  }
}

/** What is known to fail at the end fails before a byte is read. */
async function assertPlaceIsFree(root: string, key: string, ifAbsent: boolean): Promise<void> {
  const path = pathOf(root, key);
  const found = await onDisk(root, async () => {
    const entry = await lstat(path).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error;
    });
    if (entry?.isDirectory()) throw errno('EISDIR', `${path} is a folder`);
    return entry;
  });
  if (found && ifAbsent) throw objectExists(key);
}
