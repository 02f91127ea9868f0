import { findExchangeableFolder, findFolder as findOne } from '../folder-place.ts';
import { findRealPlace, type Place } from '../roots.ts';
import type { Target } from './connection.ts';
import { translateError } from './errors.ts';

/** Throws `InstanceUnreachable` without a parent, `InstanceRefused` where links lead out of what is allowed. */
export async function findPlace({ path, limits }: Target): Promise<Place> {
  return findRealPlace(path, limits).catch(cannotBeReached);
}

/** The same where the folder must be there. */
export async function findFolder({ path, limits }: Target): Promise<Place> {
  return findOne(path, limits).catch(cannotBeReached);
}

/** The same where the folder must be one that a restore can exchange. */
export async function findRestorablePlace({ path, limits }: Target): Promise<Place> {
  return findExchangeableFolder(path, limits).catch(cannotBeReached);
}

function cannotBeReached(error: unknown): never {
  throw translateError(error, 'The folder cannot be reached');
}
