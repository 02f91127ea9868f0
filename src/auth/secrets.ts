import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Secrets that Forestay makes have 256 random bits, so one round of SHA-256 keeps them as well as anything slower. */
export function hashSecret(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

export function makeSecret(prefix: string): string {
  return prefix + randomBytes(32).toString('base64url');
}

/** Takes the same time wherever two of the same length begin to differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
