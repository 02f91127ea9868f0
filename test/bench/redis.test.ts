import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { redisRival } from '../../bench/engines/redis.ts';
import { dumpInSteps, loadInSteps, sealInSteps } from '../../bench/engines/steps.ts';
import { runScript } from '../../bench/process.ts';

test("the tools that Redis's engine is measured against do what is measured", async () => {
  const { signal } = new AbortController();
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'rival-'));
  stack.defer(() => rm(folder, { recursive: true }));
  await using server = await redisRival.start({ signal } as Parameters<typeof redisRival.start>[0]);
  const { env, dump, load } = server.tool;
  await server.fill(2_000_000);
  await runScript(dump, { signal, env });
  const file = join(folder, 'saved');
  await server.save?.(file, signal);
  expect((await stat(file)).size).toBeGreaterThan(1_000_000);
  await runScript(`${load} < "$FILE"`, { signal, env: { ...env, FILE: file } });

  await dumpInSteps(server.tool, join(folder, 'dumped'), signal);
  expect((await stat(join(folder, 'dumped'))).size).toBeGreaterThan(500_000);
  await server.settle?.();
  await loadInSteps(server.tool, await sealInSteps(file, signal), signal);
  // A step that fails fails the whole: what it was given was not sealed.
  await expect(loadInSteps(server.tool, file, signal)).rejects.toThrow('bad magic number');
});
