import { access, constants, lstat, readFile } from 'node:fs/promises';
import { ForestayError } from '../core/errors.ts';
import { findRealPlace, type Limits, type Place } from './roots.ts';

/**
 * For engines whose instances are folders: which ones can be backed up, and which a restore can exchange. Errors of the file
 * system are thrown as they are.
 */

/** The folder of a path that `readPath` let through. Throws `InstanceRefused` where it cannot be an instance. */
export async function findFolder(allowed: string, limits: Limits): Promise<Place> {
  const place = await findRealPlace(allowed, limits);
  const stats = await lstat(place.path);
  if (stats.isSymbolicLink()) {
    throw new ForestayError('InstanceRefused', 'The path is a symbolic link.', {
      hint: 'Register the folder that it leads to.',
    });
  }
  if (!stats.isDirectory()) {
    throw new ForestayError('InstanceRefused', 'The path is not a folder.', {
      hint: 'Register the folder that holds the file.',
    });
  }
  const [inside] = (await mountPoints()).filter((mount) => mount.startsWith(`${place.path}/`));
  if (inside !== undefined) {
    throw new ForestayError(
      'InstanceRefused',
      `Another file system is mounted within the folder, at ${inside}.`,
      {
        hint: 'Register folders that hold no mount points, one instance for each.',
      },
    );
  }
  return place;
}

/** The same where the folder must be one that a restore can exchange. */
export async function findExchangeableFolder(allowed: string, limits: Limits): Promise<Place> {
  const place = await findFolder(allowed, limits);
  if (await isMountPoint(place)) {
    throw new ForestayError('InstanceRefused', 'The folder is a mount point, which cannot be exchanged.', {
      hint: 'Register a folder within it: a restore builds the new folder beside the old one, on the same file system.',
    });
  }
  if (!(await isMovable(place))) {
    throw new ForestayError(
      'InstanceRefused',
      'The worker may not write in the folder, so it cannot exchange it.',
      {
        hint: 'Give the user of the worker the right to write in the folder itself (chmod u+w), or run the worker as root.',
      },
    );
  }
  return place;
}

/** Moving a folder changes its entry `..`, which takes the right to write in it. */
export async function isMovable(place: Place): Promise<boolean> {
  return access(place.path, constants.W_OK).then(
    () => true,
    () => false,
  );
}

export async function isMountPoint(place: Place): Promise<boolean> {
  if ((await mountPoints()).includes(place.path)) return true;
  const [own, above] = await Promise.all([lstat(place.path), lstat(place.parent)]);
  return own.dev !== above.dev;
}

/** As Linux tells it (man 5 proc_pid_mountinfo: octal escapes in the fifth field); empty elsewhere. */
async function mountPoints(): Promise<string[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mount) => mount !== '')
    .map((mount) =>
      mount.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
    );
}
