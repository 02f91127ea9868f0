import { lstat } from 'node:fs/promises';
import { ForestayError } from '../../core/errors.ts';
import { findRealPlace, type Place } from '../roots.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';

/** Throws `InstanceUnreachable` without a folder, `InstanceRefused` where links lead out of what is allowed. */
export async function findPlace({ path, limits }: Target): Promise<Place> {
  return findRealPlace(path, limits).catch((error: unknown) => {
    throw translateError(error, 'The database file cannot be reached');
  });
}

/** The same where the file must be there. */
export async function findDatabase(target: Target): Promise<Place> {
  const place = await findPlace(target);
  const stats = await lstat(place.path).catch((error: unknown) => {
    throw translateError(error, 'The database file cannot be reached');
  });
  if (stats.isFile()) return place;
  // Of a link SQLite would put the write-ahead log beside what it leads to, which may lie anywhere.
  throw new ForestayError(
    'InstanceRefused',
    stats.isSymbolicLink() ? 'The path is a symbolic link.' : 'The path is not a file.',
    { hint: 'Register the database file itself.' },
  );
}
