import { expect, test } from 'vitest';
import { maxFailedLogins, networkOf, noteFailedLogin } from '../../src/auth/attempts.ts';
import { hashSecret, makeSecret, sameBytes } from '../../src/auth/secrets.ts';
import { makeTestSite } from '../support/test-site.ts';

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s is counted as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test('secrets have 256 random bits and are compared by their hashes', () => {
  const secret = makeSecret('forestay_');
  expect(secret).toMatch(/^forestay_[A-Za-z0-9_-]{43}$/);
  expect(makeSecret('forestay_')).not.toBe(secret);
  expect(sameBytes(hashSecret(secret), hashSecret(secret))).toBe(true);
  expect(sameBytes(hashSecret(secret), hashSecret(`${secret}x`))).toBe(false);
  expect(sameBytes(hashSecret(secret), Buffer.alloc(3))).toBe(false);
});

test('wrong credentials beyond the limit are refused without writing anything', async () => {
  await using site = await makeTestSite();
  const { db } = site.context;
  const note = () => noteFailedLogin(db, '192.0.2.7');
  for (let count = 0; count < maxFailedLogins; count++) await note();
  await expect(note()).rejects.toMatchObject({ code: 'TooManyRequests' });
  const written = () => db.selectFrom('failed_attempts').selectAll().execute();
  const before = await written();
  for (let count = 0; count < 50; count++)
    await expect(note()).rejects.toMatchObject({
      code: 'TooManyRequests',
      retryAfterSeconds: expect.any(Number),
    });
  expect(await written()).toEqual(before);
  await noteFailedLogin(db, '192.0.2.8');
});
