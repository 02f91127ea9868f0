import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { redisRival } from '../../bench/engines/redis.ts';

test("the tools that Redis's engine is measured against do what is measured", async () => {
  const { signal } = new AbortController();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'rival-'));
  stack.defer(() => rm(folder, { recursive: true }));
  await using server = await redisRival.start({ signal } as Parameters<typeof redisRival.start>[0]);
  await server.fill(2_000_000);
  await server.backUp(signal);
  const file = join(folder, 'saved');
  await server.save(file, signal);
  expect((await stat(file)).size).toBeGreaterThan(1_000_000);
  await server.restore(file, signal);
});
