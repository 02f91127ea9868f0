import { expect, test } from 'vitest';
import { cancelBackup } from '../../src/operations/cancel.ts';
import { maxUnfinishedBackups, requestBackup } from '../../src/operations/request-backup.ts';
import { makeTestSite } from '../support/test-site.ts';

test('who asks for backups of one instance without end is refused, and keeps nobody else from theirs', async () => {
  await using site = await makeTestSite();
  const { guid } = await site.addInstance();
  const ids: number[] = [];
  for (let count = 0; count < maxUnfinishedBackups; count++)
    ids.push((await requestBackup(site.context, guid)).id);
  const refusal = { code: 'TooManyRequests', hint: expect.any(String) };
  await expect(requestBackup(site.context, guid)).rejects.toMatchObject(refusal);
  const other = await site.addInstance();
  await requestBackup(site.context, other.guid);
  await cancelBackup(site.context, guid, ids[3]!);
  await requestBackup(site.context, guid);
  await expect(requestBackup(site.context, guid)).rejects.toMatchObject(refusal);
});
