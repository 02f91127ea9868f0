import { expect, test } from 'vitest';
import { mapReading, type Reading, remembering } from '../../src/db/reading.ts';

const rows: Reading<object | undefined> = {
  name: 'rows',
  text: 'select',
  parameters: [1],
  valueOf: (row) => (row === undefined ? undefined : (JSON.parse(row) as object)),
};

test('what is made of a row is remembered only as long as the row is the same', () => {
  const remember = remembering<object | undefined>();
  const first = remember(rows).valueOf('{"a":1}');
  expect(remember({ ...rows }).valueOf('{"a":1}')).toBe(first);
  expect(remember(rows).valueOf('{"a":2}')).toEqual({ a: 2 });
  expect(remember(rows).valueOf('{"a":1}')).not.toBe(first);
  expect(remember(rows).valueOf(undefined)).toBeUndefined();
});

test('readings that ask for something else are told apart, and the last 64 are remembered', () => {
  const remember = remembering<object | undefined>();
  const of = (id: number) => remember({ ...rows, parameters: [id] }).valueOf('{"a":1}');
  const [first, second] = [of(1), of(2)];
  expect(first).not.toBe(second);
  expect(of(1)).toBe(first);
  for (let id = 3; id <= 65; id++) of(id);
  expect(of(2)).toBe(second);
  expect(of(1)).not.toBe(first);
});

test('a long row is not remembered', () => {
  const remember = remembering<object | undefined>();
  const long = JSON.stringify({ a: 'x'.repeat(70_000) });
  expect(remember(rows).valueOf(long)).not.toBe(remember(rows).valueOf(long));
});

test('a reading of something else is made from one', () => {
  expect(mapReading(rows, (value) => JSON.stringify(value)).valueOf('{"a": 1}')).toBe('{"a":1}');
});
