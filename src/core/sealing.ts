import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ForestayError } from './errors.ts';

/**
 * Sealing keeps secrets at rest: AES-256-GCM under the site's master key. A sealed value is bound to what it belongs to
 * (`binding`), so that a value copied to another row or another instance does not open.
 * Layout: version byte 1, nonce (12 bytes), tag (16 bytes), ciphertext.
 */

export const masterKeyBytes = 32;
const version = 1;

export function seal(masterKey: Uint8Array, binding: string, secret: string): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', masterKey, nonce);
  cipher.setAAD(Buffer.from(binding));
  const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
  return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), body]);
}

/** Throws `Misconfigured` when the master key is not the one the value was sealed with, or the value belongs elsewhere. */
export function unseal(masterKey: Uint8Array, binding: string, sealed: Uint8Array): string {
  const bytes = Buffer.from(sealed);
  try {
    if (bytes[0] !== version) throw new Error(`unknown version ${bytes[0]}`);
    const decipher = createDecipheriv('aes-256-gcm', masterKey, bytes.subarray(1, 13));
    decipher.setAAD(Buffer.from(binding));
    decipher.setAuthTag(bytes.subarray(13, 29));
    return Buffer.concat([decipher.update(bytes.subarray(29)), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new ForestayError(
      'Misconfigured',
      'A sealed secret does not open with the master key of this site.',
      {
        hint: 'Start with the master key that this site was set up with (FORESTAY_MASTER_KEY or FORESTAY_MASTER_KEY_FILE).',
        cause,
      },
    );
  }
}

/** What a sealed key of an instance is bound to. */
export function keyBinding(instanceGuid: string, keyVersion: number): string {
  return `key:${instanceGuid}:${keyVersion}`;
}
/** What a sealed connection of an instance is bound to. */
export function connectionBinding(instanceGuid: string): string {
  return `connection:${instanceGuid}`;
}
