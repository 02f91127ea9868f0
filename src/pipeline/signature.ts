import { createHmac, timingSafeEqual } from 'node:crypto';
import { ForestayError } from '../core/errors.ts';
import { canonicalJson, type Manifest, type UnsignedManifest } from '../core/manifest.ts';
import { deriveKeys, type StoredKeys } from './derive-keys.ts';

/** Adds the signature: HMAC-SHA-256, under `macKey`, of the canonical JSON of all other fields. */
export function signManifest(unsigned: UnsignedManifest, keys: StoredKeys): Manifest {
  return { ...unsigned, mac: signatureOf(unsigned, keys).toString('hex') };
}

/**
 * Whether a manifest was made with this passphrase and is as it was then. Resolves with the keys that open the data;
 * throws `EncryptionKeyMismatch` otherwise. A wrong passphrase and a changed manifest cannot be told apart.
 */
export async function verifyManifest(manifest: Manifest, passphrase: string): Promise<StoredKeys> {
  const { mac, ...unsigned } = manifest;
  const { salt, rounds } = manifest.encryption;
  const keys = await deriveKeys(passphrase, Buffer.from(salt, 'hex'), rounds);
  const claimed = Buffer.from(mac, 'hex');
  const computed = signatureOf(unsigned, keys);
  if (claimed.length !== computed.length || !timingSafeEqual(claimed, computed)) {
    throw new ForestayError(
      'EncryptionKeyMismatch',
      'The encryption key is not the one of this backup, or the manifest of the backup was changed.',
      { hint: `The backup needs version ${manifest.key_version} of the key of its instance.` },
    );
  }
  return keys;
}

/** The bytes of `manifest.json`: canonical JSON on one line, which simple tools can read too. */
export function encodeManifest(manifest: Manifest): Buffer {
  return Buffer.from(`${canonicalJson(manifest)}\n`);
}

function signatureOf(unsigned: UnsignedManifest, keys: StoredKeys): Buffer {
  return createHmac('sha256', keys.macKey).update(canonicalJson(unsigned)).digest();
}
