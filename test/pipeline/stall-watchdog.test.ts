import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { joinStreams } from '../../src/pipeline/join-streams.ts';
import { stallWatchdog } from '../../src/pipeline/stall-watchdog.ts';

const watched = (source: Readable, ms: number) =>
  joinStreams(source, [stallWatchdog(ms, () => new ForestayError('StoreTimeout', `no byte for ${ms} ms`))]);

test('a source that falls silent is ended', async () => {
  const source = new PassThrough();
  source.write('first bytes');
  await expect(watched(source, 100).toArray()).rejects.toMatchObject({ code: 'StoreTimeout' });
  expect(source.destroyed).toBe(true);
});

test('a slow reader is no stall, nor is a source that is slow but alive', async () => {
  // A busy machine may take a second for what takes none.
  const ms = 1500;
  const fast = watched(Readable.from(Array.from({ length: 60 }, () => Buffer.alloc(65_536))), ms);
  await sleep(1.3 * ms);
  expect(Buffer.concat(await fast.toArray())).toHaveLength(60 * 65_536);
  const slow = Readable.from(
    (async function* () {
      for (let piece = 0; piece < 8; piece++) {
        await sleep(ms / 6);
        yield Buffer.of(piece);
      }
    })(),
  );
  expect(Buffer.concat(await watched(slow, ms).toArray())).toHaveLength(8);
});
