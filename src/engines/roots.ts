import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { ForestayError } from '../core/errors.ts';

/**
 * Which paths on a worker's machine operators let instances be: for engines whose instances are files or folders. What is
 * allowed is asked when a connection is read, and again, of where the path really leads, at each use.
 */
export interface Limits {
  /** Folders below which instances may lie; the folders themselves are none. Absolute. */
  readonly roots: readonly string[];
  /** Folders that no instance may be, hold or lie in: those of Forestay itself. Absolute. */
  readonly forbidden: readonly string[];
}

/** Where a path really is: no part of `parent` is a symbolic link. The last part may be one, or be missing. */
export interface Place {
  readonly parent: string;
  readonly path: string;
}

export type RefusalCode = 'BadRequest' | 'InstanceRefused';

/** A path from outside, without slashes at its end. Throws `code` unless it is absolute, plain and allowed. */
export function readPath(text: string, limits: Limits, code: RefusalCode): string {
  const plain = text.length > 1 ? text.replace(/\/+$/, '') : text;
  if (/\p{Cc}/u.test(plain)) throw new ForestayError(code, 'The path must not contain control characters.');
  if (!path.isAbsolute(plain) || path.normalize(plain) !== plain) {
    throw new ForestayError(code, 'The path must be absolute, without "." or ".." or doubled slashes.', {
      hint: 'Example: /srv/shop/uploads',
    });
  }
  assertAllowed(plain, limits, code);
  return plain;
}

/** Throws `InstanceRefused` where links lead out of what is allowed; errors of the file system as they are. */
export async function findRealPlace(allowed: string, limits: Limits): Promise<Place> {
  const parent = await realpath(path.dirname(allowed));
  const place = { parent, path: path.join(parent, path.basename(allowed)) };
  const real = {
    roots: await Promise.all(limits.roots.map(realIfThere)),
    forbidden: await Promise.all(limits.forbidden.map(realIfThere)),
  };
  assertAllowed(place.path, real, 'InstanceRefused');
  return place;
}

function assertAllowed(plain: string, { roots, forbidden }: Limits, code: RefusalCode): void {
  if (roots.length === 0) {
    throw new ForestayError(code, 'No folder may be backed up on this site, nor anything in one.', {
      hint: 'An operator allows some by naming the folders above them in FORESTAY_FILES_ROOTS.',
    });
  }
  if (!roots.some((root) => isBelow(plain, root))) {
    throw new ForestayError(code, 'The path does not lie below one of the folders that are allowed here.', {
      hint: 'Allowed is what lies below (and is not equal to) the folders in FORESTAY_FILES_ROOTS.',
    });
  }
  if (forbidden.some((own) => own === plain || isBelow(own, plain) || isBelow(plain, own))) {
    throw new ForestayError(code, 'The path is, holds or lies in a folder of Forestay itself.', {
      hint: 'The data directory and the stores of Forestay cannot be instances.',
    });
  }
}

async function realIfThere(folder: string): Promise<string> {
  return realpath(folder).catch(() => folder);
}

function isBelow(inner: string, above: string): boolean {
  return inner !== above && inner.startsWith(above.endsWith('/') ? above : `${above}/`);
}
