import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { requestBackup } from '../../../src/operations/request-backup.ts';
import { requestRestore } from '../../../src/operations/request-restore.ts';
import { repeatWith, retrying } from '../../../src/storage/retry.ts';
import { startFaultProxy } from '../../support/fault-proxy.ts';
import { backupEnds, makeTestSite, restoreEnds } from '../../support/test-site.ts';
import { azureError, startAzuriteWithContainer, storeAt } from './servers.ts';

it('done means restorable, also from a container of which every third request fails', async () => {
  await using stack = new AsyncDisposableStack();
  const server = await startAzuriteWithContainer();
  stack.defer(() => server.close());
  const proxy = await startFaultProxy(server.endpoint);
  stack.defer(() => proxy.close());
  const repeat = repeatWith({ attempts: 6, firstDelayMs: 1, maxDelayMs: 20 });
  const site = stack.use(
    await makeTestSite({ wrapStore: () => retrying(storeAt(server, proxy.url, { repeat }), repeat) }),
  );
  await site.startWorker();
  // Random: it does not compress, so there are several blocks.
  const content = randomBytes(12 * 1024 * 1024);
  const { guid, file } = await site.addInstance(content);
  const faults = [
    azureError(503, 'ServerBusy'),
    { kind: 'reset', when: 'before' },
    { kind: 'reset', when: 'after' },
  ] as const;
  let failed = 0;
  proxy.setRule((_, seen) => (seen % 3 === 2 ? faults[failed++ % faults.length] : undefined));

  const { id } = await requestBackup(site.context, guid);
  const { task, backupId } = await backupEnds(site.context, id);
  expect(task).toMatchObject({ status: 'done' });
  expect(failed).toBeGreaterThan(3);
  const names: string[] = [];
  for await (const { name } of server.client.listBlobsFlat()) names.push(name);
  expect(names.filter((name) => name.includes(backupId))).toHaveLength(2);
  expect(await server.remains()).toEqual([]);

  await writeFile(file, 'lost');
  const restore = await requestRestore(site.context, guid, id);
  expect((await restoreEnds(site.context, restore.id)).task).toMatchObject({ status: 'done' });
  expect((await readFile(file)).equals(content)).toBe(true);
});
