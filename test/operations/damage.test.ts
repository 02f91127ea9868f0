import { randomBytes, randomInt } from 'node:crypto';
import { copyFile, cp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { chunkSize } from '../../src/core/manifest.ts';
import { findTask } from '../../src/db/tasks.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { runTask } from '../../src/operations/run-task.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { makeTestSite, never, type TestSite } from '../support/test-site.ts';

/** How many damaged backups are tried; each takes about a twentieth of a second. */
const trials = 500;

// Keys are derived in fewer rounds, which the manifests say: how long that takes is not what is tried.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

interface Stored {
  readonly id: number;
  readonly folder: string;
}

let site: TestSite;
let guid: string;
let file: string;
/** The one that is damaged, again and again, and made whole from its copy. */
let victim: Stored;
let older: Stored;
let ofAnotherKey: Stored;
let ofAnotherInstance: Stored;

async function work(taskId: number): Promise<void> {
  const { jobId } = (await findTask(site.context.db, taskId))!;
  await runTask(site.context, { taskId, jobId }, never);
}

async function backUp(instance: string): Promise<Stored> {
  const { id } = await requestBackup(site.context, instance);
  const query = site.context.db.selectFrom('backups').select(['task_id', 'backup_id']).where('id', '=', id);
  const row = await query.executeTakeFirstOrThrow();
  await work(row.task_id);
  expect((await findTask(site.context.db, row.task_id))!.status).toBe('done');
  return { id, folder: path.join(site.storeRoot, row.backup_id.slice(0, 36), row.backup_id) };
}

beforeAll(async () => {
  site = await makeTestSite();
  // Three chunks, the last of them short; random, so that the stored bytes are as many.
  ({ guid, file } = await site.addInstance(randomBytes(2 * chunkSize + 100_000)));
  ofAnotherKey = await backUp(guid);
  await setKey(site.context, guid, 'a key of the user');
  older = await backUp(guid);
  victim = await backUp(guid);
  const other = await site.addInstance(randomBytes(2 * chunkSize + 100_000));
  ofAnotherInstance = await backUp(other.guid);
  await cp(victim.folder, `${victim.folder}.whole`, { recursive: true });
  await writeFile(file, 'the present data');
});
afterAll(() => site[Symbol.asyncDispose]());

const dataOf = (stored: Stored) => path.join(stored.folder, 'data');
const manifestOf = (stored: Stored) => path.join(stored.folder, 'manifest.json');

/** Overwrites a file in place from an offset. */
async function patch(target: string, offset: number, bytes: Buffer): Promise<void> {
  const handle = await open(target, 'r+');
  try {
    await handle.write(bytes, 0, bytes.length, offset);
  } finally {
    await handle.close();
  }
}

async function flipBit(target: string): Promise<void> {
  const { size } = await stat(target);
  const offset = randomInt(size);
  const handle = await open(target, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte[0]! ^= 1 << randomInt(8);
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}

const damages: Record<string, () => Promise<void>> = {
  'a flipped bit in the data': () => flipBit(dataOf(victim)),
  'a flipped bit in the manifest': () => flipBit(manifestOf(victim)),
  'a piece cut out of the data': async () => {
    const bytes = await readFile(dataOf(victim));
    const start = randomInt(bytes.length - 1);
    const length = randomInt(1, Math.min(bytes.length - start, 100_000));
    await writeFile(
      dataOf(victim),
      Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + length)]),
    );
  },
  'data that ends early': async () => truncate(dataOf(victim), randomInt((await stat(dataOf(victim))).size)),
  'data that goes on': async () => {
    await writeFile(dataOf(victim), randomBytes(randomInt(1, 1000)), { flag: 'a' });
  },
  'two chunks that have changed places': async () => {
    const bytes = await readFile(dataOf(victim));
    await patch(dataOf(victim), 0, bytes.subarray(chunkSize, 2 * chunkSize));
    await patch(dataOf(victim), chunkSize, bytes.subarray(0, chunkSize));
  },
  'two blocks that have changed places': async () => {
    const bytes = await readFile(dataOf(victim));
    const size = 4096;
    const first = randomInt(Math.floor(bytes.length / size / 2)) * size;
    const second = randomInt(Math.ceil(bytes.length / size / 2), Math.floor(bytes.length / size)) * size;
    await patch(dataOf(victim), first, bytes.subarray(second, second + size));
    await patch(dataOf(victim), second, bytes.subarray(first, first + size));
  },
  'zeros where there was data': async () => {
    const { size } = await stat(dataOf(victim));
    await patch(dataOf(victim), randomInt(size - 512), Buffer.alloc(512));
  },
  'the data of an older backup': () => copyFile(dataOf(older), dataOf(victim)),
  'the manifest of an older backup': () => copyFile(manifestOf(older), manifestOf(victim)),
  'manifest and data of an older backup': async () => {
    await copyFile(manifestOf(older), manifestOf(victim));
    await copyFile(dataOf(older), dataOf(victim));
  },
  'manifest and data of a backup with another key': async () => {
    await copyFile(manifestOf(ofAnotherKey), manifestOf(victim));
    await copyFile(dataOf(ofAnotherKey), dataOf(victim));
  },
  'manifest and data of another instance, renamed in the manifest': async () => {
    const mine = JSON.parse(await readFile(manifestOf(victim), 'utf8'));
    const foreign = JSON.parse(await readFile(manifestOf(ofAnotherInstance), 'utf8'));
    const { backup_id, backup_guid, instance_id } = mine;
    await writeFile(manifestOf(victim), JSON.stringify({ ...foreign, backup_id, backup_guid, instance_id }));
    await copyFile(dataOf(ofAnotherInstance), dataOf(victim));
  },
  'a manifest that names the digests of other data': async () => {
    const mine = JSON.parse(await readFile(manifestOf(victim), 'utf8'));
    const foreign = JSON.parse(await readFile(manifestOf(older), 'utf8'));
    await writeFile(
      manifestOf(victim),
      JSON.stringify({ ...mine, data: foreign.data, encryption: foreign.encryption }),
    );
    await copyFile(dataOf(older), dataOf(victim));
  },
  'a manifest that is cut': async () =>
    truncate(manifestOf(victim), randomInt((await stat(manifestOf(victim))).size - 1)),
  'a manifest that is gone': () => rm(manifestOf(victim)),
  'data that is gone': () => rm(dataOf(victim)),
  'an empty file for data': () => truncate(dataOf(victim), 0),
};

describe('promise 2: damage is noticed before it hurts', () => {
  test(`${trials} damaged backups are refused with a reason before the switch, and not one passes`, {
    timeout: 600_000,
  }, async () => {
    const kinds = Object.entries(damages);
    const refusals = new Map<string, number>();
    for (let trial = 0; trial < trials; trial++) {
      const [what, damage] = kinds[trial % kinds.length]!;
      await damage();
      const { id } = await requestRestore(site.context, guid, victim.id);
      const query = site.context.db.selectFrom('restores').select('task_id').where('id', '=', id);
      const { task_id: taskId } = await query.executeTakeFirstOrThrow();
      await work(taskId);
      const task = (await findTask(site.context.db, taskId))!;
      expect({ what, status: task.status }).toEqual({ what, status: 'failed' });
      expect(['BackupDamaged', 'BackupNotFound', 'IncompatibleBackup'], what).toContain(task.error!.code);
      expect(task.error!.message.length, what).toBeGreaterThan(10);
      expect(await readFile(file, 'utf8'), what).toBe('the present data');
      refusals.set(task.error!.code, (refusals.get(task.error!.code) ?? 0) + 1);
      await cp(`${victim.folder}.whole`, victim.folder, { recursive: true });
    }
    expect([...refusals.values()].reduce((sum, count) => sum + count, 0)).toBe(trials);
  });

  test('the same backup, made whole again, restores', async () => {
    const { id } = await requestRestore(site.context, guid, victim.id);
    const query = site.context.db.selectFrom('restores').select('task_id').where('id', '=', id);
    const { task_id: taskId } = await query.executeTakeFirstOrThrow();
    await work(taskId);
    expect((await findTask(site.context.db, taskId))!.status).toBe('done');
    expect((await stat(file)).size).toBe(2 * chunkSize + 100_000);
  });
});
