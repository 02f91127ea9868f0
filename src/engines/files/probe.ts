import type { Probe } from '../engine.ts';
import { folderRestoreWarnings } from '../folder-probe.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';
import { findFolder } from './place.ts';
import { type Programs, requireTar } from './tools.ts';
import { walk } from './walk.ts';

/** Looks at the folder, and says what will not work with it. */
export async function probe(target: Target, tools: Programs, signal: AbortSignal): Promise<Probe> {
  const engineVersion = await requireTar(tools, signal);
  const place = await findFolder(target);
  const { device, tooLong } = await walk(place.path, {
    find: tools.find,
    signal,
    tolerant: target.changes === 'report',
  }).catch((error: unknown) => {
    throw translateError(error, 'The folder cannot be read');
  });
  const warnings: string[] = [];
  if (device !== undefined)
    warnings.push(`The folder holds a device node (${device}), so backups will fail. Remove it.`);
  if (tooLong !== undefined)
    warnings.push(`The folder holds a path too long to be restored (${tooLong} …), so backups will fail.`);
  warnings.push(...(await folderRestoreWarnings(place, tools.perl, translateError)));
  if (process.getuid?.() !== 0) {
    warnings.push(
      'The worker is not root: files that it may not read make backups fail, and what it restores belongs to it.',
    );
  }
  return { engineVersion, warnings };
}
