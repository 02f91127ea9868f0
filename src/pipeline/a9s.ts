import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { ForestayError } from '../core/errors.ts';
import { damaged, isDecompressionError } from './damage.ts';
import { deriveA9sKeys } from './derive-keys.ts';
import { gather } from './gather.ts';
import { joinStreams, mapBytes, stageBuffer } from './join-streams.ts';
import { HeaderReader, saltBytes, saltedHeader, saltedHeaderBytes, saltOf } from './salted-header.ts';

/**
 * Scheme `a9s`: what downloads deliver, because the guides and scripts of the a9s services open it with
 * `openssl enc -aes256 -md md5 -d -pass 'pass:KEY' | gunzip`. Weak and unauthenticated, so never what is stored.
 */

/** Encrypts a plaintext for a download. When `plain` fails the result fails; it never ends cleanly then. */
export function encodeA9s(plain: Readable, passphrase: string, signal: AbortSignal): Readable {
  const salt = randomBytes(saltBytes);
  const { key, iv } = deriveA9sKeys(passphrase, salt);
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  let header: Buffer | undefined = saltedHeader(salt);
  const encrypt = mapBytes(
    (bytes) => {
      const front = header ?? Buffer.alloc(0);
      header = undefined;
      return Buffer.concat([front, cipher.update(bytes)]);
    },
    () => cipher.final(),
  );
  const compress = createGzip({ level: 1, chunkSize: 256 * 1024 });
  return joinStreams(plain, [gather(() => {}), compress, encrypt], { signal });
}

/**
 * Opens what `encodeA9s` (or `openssl enc -aes256 -md md5` after gzip) made. Throws `EncryptionKeyMismatch` where the
 * passphrase is wrong, `BackupDamaged` where the bytes are; bytes may have been passed on by then.
 */
export function decodeA9s(encrypted: Readable, passphrase: string, signal: AbortSignal): Readable {
  const header = new HeaderReader();
  const front = new GzipFront();
  let decipher: ReturnType<typeof createDecipheriv> | undefined;
  let decrypted = 0;
  const counted = (bytes: Buffer): Buffer => {
    decrypted += bytes.length;
    front.look(bytes);
    return bytes;
  };
  const decrypt = mapBytes(
    (bytes) => {
      const body = header.take(bytes, (found) => {
        const salt = saltOf(found);
        if (!salt) throw damaged('The file is not an encrypted backup: it does not start as one.');
        const { key, iv } = deriveA9sKeys(passphrase, salt);
        decipher = createDecipheriv('aes-256-cbc', key, iv);
      });
      return decipher ? counted(decipher.update(body)) : body;
    },
    () => {
      if (!decipher)
        throw damaged(`The file is not an encrypted backup: it has fewer than ${saltedHeaderBytes} bytes.`);
      const bytes = counted(decipher.final());
      front.assertSeen();
      return bytes;
    },
  );
  const unzip = createGunzip({ chunkSize: stageBuffer });
  const checkEnd = mapBytes(
    (bytes) => bytes,
    () => {
      if (unzip.bytesWritten !== decrypted) throw damaged('The file is damaged: something follows its end.');
      return undefined;
    },
  );
  return joinStreams(encrypted, [decrypt, unzip, checkEnd], { signal, translate });
}

/** A gzip file starts with these bytes; a wrong key makes others of them, but for one time in 16 million. */
class GzipFront {
  #bytes = Buffer.alloc(0);

  look(bytes: Buffer): void {
    if (this.#bytes.length >= 3) return;
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, 3)]);
    if (this.#bytes.length >= 3) this.assertSeen();
  }

  assertSeen(): void {
    if (!this.#bytes.subarray(0, 3).equals(Buffer.of(0x1f, 0x8b, 8))) throw wrongKey();
  }
}

function translate(error: NodeJS.ErrnoException): Error {
  if (isDecompressionError(error)) return damaged('The file is damaged: it does not decompress.', error);
  if (error.code === 'ERR_OSSL_BAD_DECRYPT') {
    return damaged('The file is damaged, or the encryption key is not the one it was made with.', error);
  }
  if (error.code === 'ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH')
    return damaged('The file is damaged: its end is missing.', error);
  return error;
}

function wrongKey(): ForestayError {
  return new ForestayError(
    'EncryptionKeyMismatch',
    'The encryption key is not the one the file was made with.',
    {
      hint: 'Use the key that was set when the backup was made.',
    },
  );
}
