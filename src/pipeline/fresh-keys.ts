import { randomBytes } from 'node:crypto';
import { pbkdf2Rounds } from '../core/manifest.ts';
import { deriveKeys, type StoredKeys } from './derive-keys.ts';
import { saltBytes } from './salted-header.ts';

/** Of a backup that is about to be made. */
export interface FreshKeys {
  readonly salt: Buffer;
  readonly rounds: number;
  readonly derived: Promise<StoredKeys>;
}

/** Begins at once with what takes 0.2 s, so that the engine can get ready meanwhile. Fewer rounds than usual are for tests. */
export function freshKeys(passphrase: string, rounds = pbkdf2Rounds): FreshKeys {
  const salt = randomBytes(saltBytes);
  const derived = deriveKeys(passphrase, salt, rounds);
  // Nobody waits for them when the engine fails first.
  derived.catch(() => {});
  return { salt, rounds, derived };
}
