import fc from 'fast-check';
import { assertAcceptableKey } from '../../src/core/key.ts';

/** Every passphrase that may be set. */
export const passphrases = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 8, maxLength: 60 }),
    fc.string({ unit: 'binary', minLength: 8, maxLength: 128 }),
    fc.constant('k'.repeat(512)),
    fc.constant(' leading, trailing and "quoted" $HOME `x` \\ '),
  )
  .filter((text) => {
    try {
      assertAcceptableKey(text, 8);
      return true;
    } catch {
      return false;
    }
  });

/** Plaintexts in any pieces: random ones and ones that compress, empty pieces among them. */
export const plaintexts = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(5_000))
      .map(([pattern, size]) =>
        Uint8Array.from({ length: size }, (_, at) => pattern[at % pattern.length] as number),
      ),
  ),
  { maxLength: 8 },
);
