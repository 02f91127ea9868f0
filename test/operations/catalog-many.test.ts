import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { formatBackupId } from '../../src/core/backup.ts';
import { canonicalJson } from '../../src/core/manifest.ts';
import { listBackups } from '../../src/db/backups.ts';
import { findInstance } from '../../src/db/instances.ts';
import { checkCatalog } from '../../src/operations/check-catalog.ts';
import { rebuildCatalog } from '../../src/operations/rebuild-catalog.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { readManifest } from '../../src/operations/stored-backup.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { backupEnds, makeTestSite, never } from '../support/test-site.ts';

/** TEST_MANIFESTS=10000 makes it a large site; docs/performance.md says how long that takes. */
const count = Number(process.env.TEST_MANIFESTS ?? 500);
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

test(`a store with ${count} backups and as many objects of others is listed, rebuilt and checked completely`, async () => {
  const storeRoot = path.join(tmpdir(), `many-${randomUUID()}`);
  stack.defer(() => rm(storeRoot, { recursive: true, force: true }));
  await prepareFilesystemStore(storeRoot);
  const site = stack.use(await makeTestSite({ storeRoot }));
  await site.startWorker();
  const { guid } = await site.addInstance('precious');
  const { id } = await requestBackup(site.context, guid);
  const { backupId } = await backupEnds(site.context, id);
  const backupGuid = backupId.slice(0, 36);
  const manifest = await readManifest(site.context.stores[0], backupGuid, backupId, never);
  // Copies of one manifest under other names: their signatures are wrong, which only a restore or --verify would look at.
  for (let number = 1; number < count; number++) {
    const each = formatBackupId(backupGuid, new Date(1_700_000_000_000 + number));
    const folder = path.join(storeRoot, backupGuid, each);
    await mkdir(folder);
    const text = canonicalJson({ ...manifest, id: id + number, backup_id: each });
    await writeFile(path.join(folder, 'manifest.json'), text);
    await writeFile(path.join(folder, 'data'), Buffer.alloc(manifest.data.size));
  }
  await mkdir(path.join(storeRoot, 'others'));
  for (let number = 0; number < count / 2; number++)
    await writeFile(path.join(storeRoot, 'others', `${number}`), 'x');

  const anew = stack.use(await makeTestSite({ storeRoot, masterKey: Buffer.from(site.context.masterKey) }));
  const begun = performance.now();
  const report = await rebuildCatalog(anew.context, { verify: false }, never);
  const rebuiltMs = performance.now() - begun;
  expect(report).toMatchObject({ backups: count, keys: 1, skipped: [], withoutConnection: [guid] });
  expect(report.stores[0]!.objects).toBe(2 * count + count / 2);
  const checkedFrom = performance.now();
  const checked = await checkCatalog(anew.context, { read: false }, never);
  const checkedMs = performance.now() - checkedFrom;
  expect(checked).toMatchObject({ checked: count, discrepancies: [] });
  const instance = (await findInstance(anew.context.db, guid))!;
  expect(await listBackups(anew.context.db, instance.id)).toHaveLength(count);
  process.stdout.write(
    `${count} manifests among ${report.stores[0]!.objects} objects: rebuilt in ${Math.round(rebuiltMs)} ms, checked in ${Math.round(checkedMs)} ms\n`,
  );
}, 600_000);
