import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect, test, vi } from 'vitest';
import { checkAtEnd } from '../../src/pipeline/check-at-end.ts';
import { joinStreams } from '../../src/pipeline/join-streams.ts';

test('ends after its check, which comes after the last byte', async () => {
  const seen: string[] = [];
  const source = Readable.from([Buffer.from('a'), Buffer.from('b')]).on('end', () => seen.push('end'));
  const stage = checkAtEnd(async () => void seen.push('check'));
  expect(await text(joinStreams(source, [stage]))).toBe('ab');
  expect(seen).toEqual(['end', 'check']);
});

test('fails with what its check throws, although all bytes came', async () => {
  const changed = new Error('it changed meanwhile');
  const stage = checkAtEnd(() => Promise.reject(changed));
  await expect(text(joinStreams(Readable.from([Buffer.from('a')]), [stage]))).rejects.toBe(changed);
});

test('ends its check when the reader goes', async () => {
  const check = vi.fn((signal: AbortSignal) => {
    return new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const joined = joinStreams(Readable.from([Buffer.from('a')]), [checkAtEnd(check)]);
  joined.resume();
  await vi.waitFor(() => expect(check).toHaveBeenCalled());
  joined.destroy();
  await vi.waitFor(() => expect(check.mock.calls[0]?.[0].aborted).toBe(true));
});
