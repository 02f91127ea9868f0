import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBackupId, isDownloadable, isGuid, parseBackupId } from '../../src/core/backup.ts';
import { assertAcceptableKey } from '../../src/core/key.ts';
import { canonicalJson } from '../../src/core/manifest.ts';
import { connectionBinding, keyBinding, seal, unseal } from '../../src/core/sealing.ts';

describe('a backup_id', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.integer({ min: 1_500_000_000_000, max: 9_999_999_999_999 }), (guid, ms) => {
        const parsed = parseBackupId(formatBackupId(guid, new Date(ms)));
        expect(parsed).toEqual({ backupGuid: guid, at: new Date(ms) });
      }),
    );
  });

  test.each([
    '',
    'x',
    '3a2e59ee-40cb-472a-91d0-502ab259918c',
    '3a2e59ee-40cb-472a-91d0-502ab259918c-',
    '../../etc-1500000000000',
  ])('is not read out of %j', (text) => expect(parseBackupId(text)).toBeUndefined());

  test('is no GUID, and a GUID is', () => {
    expect(isGuid('3A2E59EE-40cb-472a-91d0-502ab259918c')).toBe(true);
    expect(isGuid('3a2e59ee-40cb-472a-91d0-502ab259918c-1500000000000')).toBe(false);
  });
});

describe('downloadable', () => {
  test.each([
    ['done', 2, 2, true],
    ['done', 1, 2, false],
    ['done', 1, null, false],
    ['running', 2, 2, false],
    ['deleted', 2, 2, false],
  ] as const)(
    'a backup that is %s, of key version %s while the newest user key is %s: %s',
    (status, keyVersion, newest, expected) =>
      expect(isDownloadable({ status, keyVersion }, newest)).toBe(expected),
  );
});

describe('an encryption key', () => {
  test.each([
    ['seven77', 'too short'],
    ['x'.repeat(513), 'too long'],
    ['eight888\n', 'control characters'],
    [`eight888${String.fromCharCode(0)}`, 'control characters'],
  ])('%j is refused as %s', (key, why) => expect(() => assertAcceptableKey(key, 8)).toThrow(why));

  test('may hold spaces, quotes and any script', () => {
    assertAcceptableKey(`it's a "key" with 漢字 & 😀`, 8);
  });
});

describe('sealing', () => {
  const masterKey = randomBytes(32);

  test('opens what it sealed, and only with that key and for that owner', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
        (secret) => {
          const sealed = seal(masterKey, keyBinding('a', 1), secret);
          expect(unseal(masterKey, keyBinding('a', 1), sealed)).toBe(secret);
          expect(() => unseal(masterKey, keyBinding('a', 2), sealed)).toThrow('does not open');
          expect(() => unseal(masterKey, connectionBinding('a'), sealed)).toThrow('does not open');
          expect(() => unseal(randomBytes(32), keyBinding('a', 1), sealed)).toThrow('does not open');
        },
      ),
    );
  });

  test('notices every changed bit', () => {
    const sealed = seal(masterKey, 'x', 'secret');
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => unseal(masterKey, 'x', changed)).toThrow('does not open');
    }
  });
});

describe('canonical JSON', () => {
  test('says the same of equal values, whatever the order of their keys, and parses back to them', () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: 'small' }), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
    expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: true })).toBe(
      '{"a":true,"b":[1,{"c":"x","d":null}]}',
    );
  });
});
