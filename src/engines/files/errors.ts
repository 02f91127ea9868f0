import { type Meaning, translatorOf } from '../../pipeline/foreign-errors.ts';

const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room on the file system of the folder: a restore needs space for the restored data beside the present data. Nothing was changed.',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Let the worker run as root or as the owner of everything in the folder; a restore also writes in the folder above it.',
};
const gone: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check that the folder is there on the machine of the worker, and that its file system is mounted.',
};
export const changing: Meaning = {
  code: 'InstanceBusy',
  hint: 'Nothing may write to the folder while it is backed up: pause what does, back up a snapshot, or set changes to report.',
};
const mounted: Meaning = {
  code: 'InstanceRefused',
  hint: 'The folder is a mount point or otherwise held by the system: register a folder within it.',
};

const codes: Readonly<Record<string, Meaning>> = {
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

/** Texts of the C library and of GNU tar and find (LC_ALL=C). Whether something failed never depends on them. */
const texts: readonly (readonly [RegExp, Meaning])[] = [
  [/No space left on device|Disk quota exceeded/, full],
  [/Permission denied|Operation not permitted|Read-only file system/, noRight],
  [/Stale file handle|Input\/output error|Transport endpoint/, gone],
  [
    /file changed as we read it|File removed before we read it|File shrank by|No such file or directory/,
    changing,
  ],
];

/** Foreign errors (of the file system, of tar and find) in the words of the catalogue. */
export const translateError = translatorOf(codes, texts);
