import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { undoRestore } from '../../src/operations/undo-restore.ts';
import { backupEnds, makeTestSite, never, restoreEnds, type TestSite } from '../support/test-site.ts';

describe('the main job', () => {
  let site: TestSite;
  beforeAll(async () => {
    site = await makeTestSite();
    await site.startWorker();
  });
  afterAll(() => site[Symbol.asyncDispose]());

  test('a backup is taken and restored, and the restore undone', async () => {
    const { guid, file } = await site.addInstance('the data of monday');
    const { id } = await requestBackup(site.context, guid);
    const backup = await backupEnds(site.context, id);
    expect(backup.task).toMatchObject({ status: 'done', error: null, attempt: 1 });
    expect(backup).toMatchObject({
      plaintextSize: 18,
      engineVersion: '1.0',
      dataName: 'data',
      keyVersion: 1,
    });

    await writeFile(file, 'the data of tuesday');
    const restore = await restoreEnds(site.context, (await requestRestore(site.context, guid, id)).id);
    expect(restore.task).toMatchObject({ status: 'done', error: null });
    expect(await readFile(file, 'utf8')).toBe('the data of monday');

    await undoRestore(site.context, guid, restore.id, never);
    expect(await readFile(file, 'utf8')).toBe('the data of tuesday');
    await expect(undoRestore(site.context, guid, restore.id, never)).rejects.toMatchObject({
      code: 'UndoUnavailable',
    });
  });

  test('promise 5: a new key never makes an old backup unreadable', async () => {
    const { guid, file } = await site.addInstance('made under the key of the system');
    const backups: number[] = [];
    for (const key of [undefined, 'first key of the user', 'second key of the user']) {
      if (key) await setKey(site.context, guid, key);
      if (key) await writeFile(file, `made under the ${key}`);
      const { id } = await requestBackup(site.context, guid);
      expect((await backupEnds(site.context, id)).task.status).toBe('done');
      backups.push(id);
    }
    const expected = [
      'made under the key of the system',
      'made under the first key of the user',
      'made under the second key of the user',
    ];
    for (const [index, id] of backups.entries()) {
      await restoreEnds(site.context, (await requestRestore(site.context, guid, id)).id);
      expect(await readFile(file, 'utf8')).toBe(expected[index]);
    }
  });
});
