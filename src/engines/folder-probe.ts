import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { restorePrefix } from './folder-names.ts';
import { isMountPoint, isMovable } from './folder-place.ts';
import { exchange } from './folder-swap.ts';
import type { Place } from './roots.ts';

/**
 * Warnings for `Engine.probe` of engines that restore by `replaceFolder`: what will not work, or not in one step, with this
 * folder. `translate` puts errors of the file system into words.
 */
export async function folderRestoreWarnings(
  place: Place,
  perl: string,
  translate: (error: unknown, what: string) => Error,
): Promise<string[]> {
  if (await isMountPoint(place))
    return ['The folder is a mount point, so restores will fail. Register a folder within it.'];
  if (!(await isMovable(place)))
    return ['The worker may not write in the folder itself, so restores will fail: chmod u+w.'];
  let folder: string | undefined;
  try {
    // With two empty folders where a restore would do it, since only trying tells.
    folder = await mkdtemp(join(place.parent, `${restorePrefix}probe-`));
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    await Promise.all([mkdir(one), mkdir(other)]);
    if (await exchange(one, other, perl)) return [];
    return [
      'Two folders cannot be exchanged in one step here (no perl, or the file system does not know how): for a moment of each restore there is no folder.',
    ];
  } catch (error) {
    const { message } = translate(error, 'The worker cannot write in the folder above');
    return [`${message} Restores will fail.`];
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}
