import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, ForestayError } from '../../core/errors.ts';

/** The file whose presence in the root says: this is the store, and it is mounted. */
export const markerName = '.forestay-store';

/** Runs a step on the file system; what it throws arrives as an error of the port. */
export async function onDisk<T>(root: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw await translated(root, error);
  }
}

/** An error like those of the operating system, for what it would not have refused. */
export function errno(code: string, message: string): Error {
  return Object.assign(new Error(message), { code, syscall: 'forestay' });
}

/** Throws `StoreUnavailable` while the root is not there, or is a bare mount point. */
export async function assertMounted(root: string): Promise<void> {
  try {
    await stat(join(root, markerName));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw notMounted(root, error);
    throw storeError(root, error);
  }
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  return codes.includes(errnoOf(error) ?? '');
}

async function translated(root: string, error: unknown): Promise<unknown> {
  // A missing file means something else when everything is missing.
  if (isErrno(error, 'ENOENT', 'ENOTDIR')) {
    try {
      await assertMounted(root);
    } catch (cause) {
      return cause;
    }
  }
  return storeError(root, error);
}

interface Meaning {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint: string;
}

const denied: Meaning = {
  code: 'StoreDenied',
  says: 'does not allow this',
  hint: 'Give the user that Forestay runs as read and write permission on the folder and all it holds, on a file system that is mounted read-write.',
};
const full: Meaning = {
  code: 'StoreFull',
  says: 'is full',
  hint: 'Free space or enlarge the file system (or the quota) of the store; shorter retention times also free space.',
};
const unavailable: Meaning = {
  code: 'StoreUnavailable',
  says: 'cannot be used at the moment',
  hint: 'Check the disk or the network file system behind the folder; the log of the kernel (dmesg) usually says more.',
};
const misplaced: Meaning = {
  code: 'BadRequest',
  says: 'cannot hold an object of this name',
  hint: 'The name is too long for its file system, or an object has the name of a folder of another.',
};

const meanings: Readonly<Record<string, Meaning>> = {
  ENOSPC: full,
  EDQUOT: full,
  EFBIG: {
    code: 'StoreFull',
    says: 'does not take files of this size',
    hint: 'Raise the file size limit of the service (ulimit -f), or use a file system without one.',
  },
  EACCES: denied,
  EPERM: denied,
  EROFS: denied,
  ELOOP: {
    code: 'StoreDenied',
    says: 'has a symbolic link where an object or folder should be',
    hint: 'Replace the link below the folder of the store by what it points to. Only the folder itself may be a link.',
  },
  ENAMETOOLONG: misplaced,
  EISDIR: misplaced,
  ENOTDIR: misplaced,
  EMFILE: { ...unavailable, hint: 'Raise the number of open files of the service (ulimit -n, LimitNOFILE).' },
};

/** What any errno of a mounted store means; errors without one are passed on as they are. */
export function storeError(root: string, error: unknown): unknown {
  const found = errnoOf(error);
  if (found === undefined) return error;
  const { code, says, hint } = meanings[found] ?? unavailable;
  return new ForestayError(code, `The store file:${root} ${says} (${found}).`, { hint, cause: error });
}

export function objectExists(key: string): ForestayError {
  return new ForestayError('ObjectExists', `The store has an object ${key} already.`);
}

function notMounted(root: string, cause: unknown): ForestayError {
  return new ForestayError('StoreUnavailable', `The store file:${root} is not there.`, {
    hint: `The folder or its marker file ${markerName} is missing. Is the disk or network file system mounted? A new store is set up when the service starts.`,
    cause,
  });
}

function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
