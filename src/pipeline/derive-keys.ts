import { createHash, createHmac, pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';

/** What scheme `openssl-pbkdf2` derives from a passphrase and the salt of one backup. */
export interface StoredKeys {
  /** AES-256, 32 bytes. */
  readonly key: Buffer;
  /** Initial counter block of CTR mode, 16 bytes. */
  readonly iv: Buffer;
  /** Key of the manifest's `mac`. */
  readonly macKey: Buffer;
  /** Key of the manifest's `plaintext.hmac`. */
  readonly plaintextMacKey: Buffer;
}

const pbkdf2Async = promisify(pbkdf2);

/** Takes about 0.2 s for 600,000 rounds, off the main thread. As `openssl enc -pbkdf2 -md sha256 -iter <rounds>` does. */
export async function deriveKeys(passphrase: string, salt: Uint8Array, rounds: number): Promise<StoredKeys> {
  const derived = await pbkdf2Async(passphrase, salt, rounds, 48, 'sha256');
  return {
    key: derived.subarray(0, 32),
    iv: derived.subarray(32, 48),
    macKey: createHmac('sha256', derived).update('forestay manifest v1').digest(),
    plaintextMacKey: createHmac('sha256', derived).update('forestay plaintext v1').digest(),
  };
}

/** Key and IV of scheme `a9s`: EVP_BytesToKey with MD5 and one round, which `openssl enc -md md5` uses. */
export function deriveA9sKeys(passphrase: string, salt: Uint8Array): { key: Buffer; iv: Buffer } {
  const derived: Buffer[] = [];
  for (let block = Buffer.alloc(0); derived.length < 3; ) {
    block = createHash('md5').update(block).update(passphrase).update(salt).digest();
    derived.push(block);
  }
  const bytes = Buffer.concat(derived);
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32, 48) };
}
