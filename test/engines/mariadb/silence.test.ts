import { Socket } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { watchSilence } from '../../../src/engines/mariadb/silence.ts';

afterEach(() => vi.useRealTimers());

/** Watches a connection that says nothing, for two limits; how often another session was asked for, and what was heard. */
async function watch(error: unknown) {
  vi.useFakeTimers();
  const withAnother = vi.fn(() => Promise.reject(error));
  const onHang = vi.fn();
  const end = watchSilence({ socket: new Socket(), sessionId: 1, silenceMs: 1_000, withAnother }, onHang);
  await vi.advanceTimersByTimeAsync(2_500);
  end();
  return { asked: withAnother.mock.calls.length, hangs: onHang.mock.calls.length };
}

test('a server that has no connection left for the question has answered', async () => {
  const refused = Object.assign(new Error('too many connections'), { errno: 1226 });
  expect(await watch(refused)).toEqual({ asked: 2, hangs: 0 });
  expect(await watch(new Error('translated', { cause: refused }))).toEqual({ asked: 2, hangs: 0 });
});

test('a server that does not answer the question either hangs', async () => {
  const error = Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' });
  expect(await watch(error)).toEqual({ asked: 1, hangs: 1 });
});
