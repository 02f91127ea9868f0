import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Probe } from '../engine.ts';
import { restorePrefix } from '../folder-names.ts';
import { exchange } from '../folder-swap.ts';
import type { Place } from '../roots.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { findFolder, isMountPoint } from './place.ts';
import { type Programs, requireTar } from './tools.ts';
import { walk } from './walk.ts';

/** Looks at the folder, and says what will not work with it. */
export async function probe(target: Target, tools: Programs, signal: AbortSignal): Promise<Probe> {
  const engineVersion = await requireTar(tools, signal);
  const place = await findFolder(target);
  const { device } = await walk(place.path, {
    find: tools.find,
    signal,
    tolerant: target.changes === 'report',
  }).catch((error: unknown) => {
    throw translateError(error, 'The folder cannot be read');
  });
  const warnings: string[] = [];
  if (device !== undefined)
    warnings.push(`The folder holds a device node (${device}), so backups will fail. Remove it.`);
  if (await isMountPoint(place)) {
    warnings.push('The folder is a mount point, so restores will fail. Register a folder within it.');
  } else {
    warnings.push(...(await tryExchange(place, tools)));
  }
  if (process.getuid?.() !== 0) {
    warnings.push(
      'The worker is not root: files that it may not read make backups fail, and what it restores belongs to it.',
    );
  }
  return { engineVersion, warnings };
}

/** With two empty folders where a restore would do it, since only trying tells. */
async function tryExchange(place: Place, tools: Programs): Promise<string[]> {
  let folder: string | undefined;
  try {
    folder = await mkdtemp(join(place.parent, `${restorePrefix}probe-`));
    const [one, other] = [join(folder, 'one'), join(folder, 'other')];
    await Promise.all([mkdir(one), mkdir(other)]);
    if (await exchange(one, other, tools.perl)) return [];
    return [
      'Two folders cannot be exchanged in one step here (no perl, or the file system does not know how): for a moment of each restore there is no folder.',
    ];
  } catch (error) {
    const { message } = translateError(error, 'The worker cannot write in the folder above');
    return [`${message} Restores will fail.`];
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }
}
