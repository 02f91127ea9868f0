import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { storedTokenProvider } from '../../src/auth/stored-token.ts';
import { createToken, revokeToken } from '../../src/auth/tokens.ts';
import type { Reading } from '../../src/db/reading.ts';
import { makeTestSite, type TestSite } from '../support/test-site.ts';

let site: TestSite;
beforeAll(async () => {
  site = await makeTestSite();
});
afterAll(() => site[Symbol.asyncDispose]());

const guid = randomUUID();
const doubled: Reading<number | undefined> = {
  name: 'doubled',
  text: 'select 2 * $1::int as answer',
  parameters: [21],
  valueOf: (row) => (row === undefined ? undefined : (JSON.parse(row) as { answer: number }).answer),
};
/** Fails as soon as it is read, and is not to be known before to fail. */
const failing: Reading<unknown> = {
  name: 'failing',
  text: 'select 1 / (random() * 0)::int as never',
  parameters: [],
  valueOf: (row) => row,
};
const tokenFor = (instanceGuid: string) =>
  createToken(site.context.db, {
    name: 'x',
    operator: false,
    rights: [{ instanceGuid, right: 'view' }],
  });

test('what is read along with a token comes with it', async () => {
  const provider = storedTokenProvider(site.context.db);
  const { id, secret } = await tokenFor(guid);
  expect(await provider.authenticate(secret, guid, doubled)).toMatchObject({ right: 'view', along: 42 });
  expect(await provider.authenticate(secret, guid)).toMatchObject({ right: 'view', along: undefined });
  const noRow = { ...doubled, name: 'no_row', text: `${doubled.text} where $1 = 0` };
  expect(await provider.authenticate(secret, guid, noRow)).toMatchObject({ along: undefined });
  await revokeToken(site.context.db, id);
  expect(await provider.authenticate(secret, guid, doubled)).toBeUndefined();
});

test('nothing is read along for a token without a right on the instance, or for a wrong one', async () => {
  const provider = storedTokenProvider(site.context.db);
  const { secret } = await tokenFor(guid);
  await expect(provider.authenticate(secret, guid, failing)).rejects.toThrow('division by zero');
  expect(await provider.authenticate(secret, randomUUID(), failing)).toMatchObject({ right: undefined });
  expect(await provider.authenticate(secret, undefined, failing)).toMatchObject({ right: undefined });
  expect(await provider.authenticate(`${secret}x`, guid, failing)).toBeUndefined();
});

test('requests at the same moment share a lookup only when they ask the same with the same token', async () => {
  const provider = storedTokenProvider(site.context.db);
  const [first, second] = [await tokenFor(guid), await tokenFor(guid)];
  const tripled = { ...doubled, name: 'tripled', text: 'select 3 * $1::int as answer' };
  const answers = await Promise.all([
    provider.authenticate(first.secret, guid, doubled),
    provider.authenticate(first.secret, guid, tripled),
    provider.authenticate(first.secret, randomUUID(), doubled),
    provider.authenticate(second.secret, guid, doubled),
  ]);
  expect(answers.map((answer) => [answer?.id, answer?.along])).toEqual([
    [`token:${first.id}`, 42],
    [`token:${first.id}`, 63],
    [`token:${first.id}`, undefined],
    [`token:${second.id}`, 42],
  ]);
});
