import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { joinStreams } from '../../src/pipeline/join-streams.ts';
import { stallWatchdog } from '../../src/pipeline/stall-watchdog.ts';

const watched = (source: Readable) =>
  joinStreams(source, [stallWatchdog(100, () => new ForestayError('StoreTimeout', 'no byte for 100 ms'))]);

test('a source that falls silent is ended', async () => {
  const source = new PassThrough();
  source.write('first bytes');
  await expect(watched(source).toArray()).rejects.toMatchObject({ code: 'StoreTimeout' });
  expect(source.destroyed).toBe(true);
});

test('a slow reader is no stall, nor is a source that is slow but alive', async () => {
  const fast = watched(Readable.from(Array.from({ length: 60 }, () => Buffer.alloc(65_536))));
  await sleep(400);
  expect(Buffer.concat(await fast.toArray())).toHaveLength(60 * 65_536);
  const slow = Readable.from(
    (async function* () {
      for (let piece = 0; piece < 8; piece++) {
        await sleep(50);
        yield Buffer.of(piece);
      }
    })(),
  );
  expect(Buffer.concat(await watched(slow).toArray())).toHaveLength(8);
});
