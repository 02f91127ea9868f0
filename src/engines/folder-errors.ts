import type { Meaning } from '../pipeline/foreign-errors.ts';

/**
 * What errors of the file system mean where an instance is a folder that is restored by `replaceFolder`: for `translatorOf`.
 */

const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room on the file system of the folder: a restore needs space for the restored data beside the present data. Nothing was changed.',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Let the worker run as root or as the owner of everything in the folder; a restore also writes in the folder above it. What is immutable or append-only (lsattr shows it) not even root changes.',
};
const gone: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check that the folder is there on the machine of the worker, and that its file system is mounted.',
};
const mounted: Meaning = {
  code: 'InstanceRefused',
  hint: 'The folder is a mount point or otherwise held by the system (part of a container image, say): register a folder within it, or one that was made on the same file system.',
};

export const folderCodes: Readonly<Record<string, Meaning>> = {
  ENOSPC: full,
  EDQUOT: full,
  EACCES: noRight,
  EPERM: noRight,
  EROFS: noRight,
  ENOENT: gone,
  ENOTDIR: gone,
  ESTALE: gone,
  ENODEV: gone,
  EIO: gone,
  EBUSY: mounted,
  EXDEV: mounted,
};

/** Texts of the C library (LC_ALL=C). Whether something failed never depends on them. */
export const folderTexts: readonly (readonly [RegExp, Meaning])[] = [
  [/No space left on device|Disk quota exceeded/, full],
  [/Permission denied|Operation not permitted|Read-only file system/, noRight],
  [/Stale file handle|Input\/output error|Transport endpoint/, gone],
];
