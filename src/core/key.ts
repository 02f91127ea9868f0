import { ForestayError } from './errors.ts';

/** The passphrase an instance's backups are encrypted with is called its key; versions count 1, 2, 3 … */
export type KeySetBy = 'system' | 'user';

/** OpenSSL reads at most this many bytes of a passphrase from its arguments, files and prompts. */
export const maxKeyBytes = 512;

/**
 * Refuses passphrases that are too short, or that `openssl enc` could not be given on a command line or in a file
 * (control characters end or change them there), because such a backup could not be opened without Forestay.
 */
export function assertAcceptableKey(passphrase: string, minLength: number): void {
  if ([...passphrase].length < minLength) {
    throw new ForestayError(
      'BadRequest',
      `The encryption key is too short: at least ${minLength} characters are needed.`,
      {
        hint: 'Choose a longer key, for example with: openssl rand -base64 24',
      },
    );
  }
  if (Buffer.byteLength(passphrase) > maxKeyBytes) {
    throw new ForestayError(
      'BadRequest',
      `The encryption key is too long: at most ${maxKeyBytes} bytes are possible.`,
    );
  }
  if (/\p{Cc}|\p{Cs}/u.test(passphrase)) {
    throw new ForestayError(
      'BadRequest',
      'The encryption key must not contain control characters or line breaks.',
    );
  }
}
