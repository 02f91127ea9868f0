import { type Meaning, translatorOf } from '../../pipeline/foreign-errors.ts';

const full: Meaning = {
  code: 'InstanceFull',
  hint: 'Make room on the file system of the database: a backup needs room for a copy of it, a restore for two. Nothing was changed.',
};
const noRight: Meaning = {
  code: 'InstanceRefused',
  hint: 'Let the worker read and write the database file, and make files in its folder.',
};
const gone: Meaning = {
  code: 'InstanceUnreachable',
  hint: 'Check that the database file is there on the machine of the worker, and that its file system is mounted.',
};
const locked: Meaning = {
  code: 'InstanceBusy',
  hint: 'Another program holds a lock for more than a minute: end its transaction, then try again.',
};
const noDatabase: Meaning = {
  code: 'InstanceRefused',
  hint: 'Check the path. If the file was a database: move it away, make an empty file in its place, and restore.',
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
  EIO: gone,
};

/** Texts of sqlite3 and of the C library (LC_ALL=C). Whether something failed never depends on them. */
const texts: readonly (readonly [RegExp, Meaning])[] = [
  [/database or disk is full|No space left on device|Disk quota exceeded/, full],
  [/database is locked|database is busy|\((5|6|261|517)\)$/m, locked],
  [/file is not a database|file is encrypted/, noDatabase],
  [/readonly database|Permission denied|Operation not permitted|Read-only file system/, noRight],
  [/disk I\/O error|Input\/output error|Stale file handle/, gone],
  [/unable to open database|^Error: cannot open/m, gone],
];

/** Foreign errors (of the file system and of sqlite3) in the words of the catalogue. */
export const translateError = translatorOf(codes, texts);
