import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BackupBody } from '../../src/http/v1/backups.ts';
import type { RecoveryPointBody } from '../../src/http/v1/recovery-points.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { prepareFilesystemStore } from '../../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../../src/storage/filesystem/store.ts';
import { backupEnds, until } from '../support/test-site.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

let http: HttpSite;
let secondary: string;
let guid: string;
let empty: string;

beforeAll(async () => {
  secondary = await mkdtemp(path.join(tmpdir(), 'secondary-'));
  await prepareFilesystemStore(secondary);
  http = await makeHttpSite({ secondaries: [createFilesystemStore({ root: secondary })] });
  ({ guid } = await http.site.addInstance());
  ({ guid: empty } = await http.site.addInstance());
  await http.site.startWorker();
});
afterAll(async () => {
  await http[Symbol.asyncDispose]();
  await rm(secondary, { recursive: true, force: true });
});

async function get<T>(url: string): Promise<T> {
  const answer = await http.server.inject({ url, headers: asAdmin });
  expect(answer.statusCode).toBe(200);
  return answer.headers['content-type']?.startsWith('application/json') ? answer.json() : (answer.body as T);
}

test('the copies of a backup, and what each store could bring back, are shown to users and to Prometheus', async () => {
  const { id } = await requestBackup(http.site.context, guid);
  await backupEnds(http.site.context, id);
  const copies = async () => (await get<BackupBody>(`/v1/instances/${guid}/backups/${id}`)).copies;
  await until('the copy', async () => (await copies())[0]?.status === 'done');
  const [listed] = await get<BackupBody[]>(`/v1/instances/${guid}/backups`);
  expect(listed!.copies).toEqual(await copies());
  expect(listed!.copies).toEqual([
    {
      store: `file:${secondary}`,
      status: 'done',
      finished_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/),
    },
  ]);

  const points = await get<RecoveryPointBody[]>(`/v1/instances/${guid}/recovery-points`);
  expect(points).toMatchObject([
    { role: 'primary', store: `file:${http.site.storeRoot}`, backup_id: id, taken_at: listed!.started_at },
    { role: 'secondary', store: `file:${secondary}`, backup_id: id, taken_at: listed!.started_at },
  ]);
  for (const { age_seconds } of points) expect(age_seconds).toBeLessThan(60);
  expect(await get(`/v1/instances/${empty}/recovery-points`)).toMatchObject([
    { role: 'primary', backup_id: null, taken_at: null, age_seconds: null },
    { role: 'secondary', backup_id: null, taken_at: null, age_seconds: null },
  ]);

  const metrics = await get<string>('/metrics');
  const series = metrics
    .split('\n')
    .filter((line) => line.startsWith('forestay_recovery_point_age_seconds{'));
  expect(series).toHaveLength(4);
  const ofSecondary = (instance: string) =>
    series.find((line) => line.includes(instance) && line.includes('role="secondary"'))!.split(' ')[1];
  expect(Number(ofSecondary(guid))).toBeLessThan(60);
  expect(ofSecondary(empty)).toBe('+Inf');
});

test('promtool likes the metrics', async ({ skip }) => {
  const metrics = await get<string>('/metrics');
  const { error, status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input: metrics });
  skip(error !== undefined, 'promtool is not installed (Debian: prometheus)');
  expect(`${status} ${stderr}${stdout}`).toBe('0 ');
});
