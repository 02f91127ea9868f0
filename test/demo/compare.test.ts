import { expect, test } from 'vitest';
import { differences, requireDifferent, requireEqual } from '../../demo/compare.ts';
import type { Fingerprint } from '../../demo/dataset.ts';
import { DemoFailed } from '../../demo/demo-failed.ts';

const original = { 'table a': '2 rows x', 'sequence s': '7 true' };

function fingerprint(facts: Record<string, string>): Fingerprint {
  return { facts: new Map(Object.entries(facts)), summary: '' };
}

test('what is equal has no differences', () => {
  expect(differences(fingerprint(original), fingerprint({ ...original }))).toEqual([]);
  expect(() =>
    requireEqual('The restored instance', fingerprint(original), fingerprint(original)),
  ).not.toThrow();
});

test.each([
  ['a row changed', { ...original, 'table a': '2 rows y' }, 'table a is different: 2 rows y, not 2 rows x'],
  ['a sequence lost', { 'table a': '2 rows x' }, 'sequence s is missing'],
  ['a table too much', { ...original, 'table b': '0 rows ' }, 'table b is too much'],
])('%s fails the demo, which says so', (_what, found, line) => {
  const compare = () => requireEqual('The restored instance', fingerprint(original), fingerprint(found));
  expect(compare).toThrow(DemoFailed);
  expect(compare).toThrow('The restored instance is not equal to the original.');
  expect(differences(fingerprint(original), fingerprint(found))).toEqual([line]);
});

test('nothing is not equal to nothing', () => {
  expect(() => requireEqual('The restored instance', fingerprint({}), fingerprint({}))).toThrow(DemoFailed);
});

test('a comparison that does not notice the accident fails the demo', () => {
  expect(() => requireDifferent('After the accident', fingerprint(original), fingerprint(original))).toThrow(
    DemoFailed,
  );
});
