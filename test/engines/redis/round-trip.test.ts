import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { markerKey } from '../../../src/engines/redis/marker.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { makeRedisInstance, ownDatabases, type RedisInstance, redisFingerprint } from './instance.ts';

const engine = createRedisEngine();
const never = new AbortController().signal;
let server: RedisServer;
let instance: RedisInstance;

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await makeRedisInstance(server);
});
afterEach(() => instance.close());

/** Backs up, changes, restores, and removes what is kept. */
async function thereAndBack(by: Engine = engine) {
  const backup = await takeBackup(by, instance.connection);
  await instance.write();
  const ticket = ticketFor(backup.source);
  const report = await by.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  await by.undo?.discard(instance.connection, ticket.id, never);
  return { backup, report };
}

test('redis-check-rdb finds a backup whole, and the digest of the whole server is the same after a restore', async () => {
  await instance.fill('hostile');
  const digest = String(await server.run('DEBUG', 'DIGEST'));
  const { backup } = await thereAndBack();
  expect(String(await server.run('DEBUG', 'DIGEST'))).toBe(digest);
  const folder = await mkdtemp(join(tmpdir(), 'rdb-'));
  await writeFile(join(folder, 'dump.rdb'), backup.bytes);
  const said = execFileSync('redis-check-rdb', [join(folder, 'dump.rdb')], { encoding: 'utf8' });
  await rm(folder, { recursive: true });
  expect(said).toContain('Checksum OK');
  expect(said).toContain('RDB looks OK!');
});

test('a server that is started on a backup has the same data', async () => {
  await instance.fill('hostile');
  const before = await instance.fingerprint();
  const { bytes } = await takeBackup(engine, instance.connection);
  const folder = await mkdtemp(join(tmpdir(), 'rdb-'));
  await writeFile(join(folder, 'dump.rdb'), bytes);
  const other = await startRedisServer({ settings: { dir: folder } });
  try {
    expect(await redisFingerprint(other)).toEqual(before);
  } finally {
    await other.stop();
    await rm(folder, { recursive: true });
  }
});

test('values that are built element by element come back the same, streams with their groups too', async () => {
  await instance.fill('hostile');
  // Pending messages of deleted entries are what cannot be built in this way.
  await server.run('XACK', 'stream', 'group', '1002-6');
  const before = await redisFingerprint(server, { seenTimes: false });
  const { report } = await thereAndBack(createRedisEngine({ splitFrom: 1 }));
  expect(await redisFingerprint(server, { seenTimes: false })).toEqual(before);
  expect(report.notKept).toEqual([]);
});

test('a stream that is built anew loses pending messages whose entries are deleted, and the report says so', async () => {
  await instance.fill('hostile');
  const { report } = await thereAndBack(createRedisEngine({ splitFrom: 1 }));
  expect(report.notKept).toEqual([expect.stringMatching(/^The stream "stream" .*not pending any more/)]);
});

test('values of more than 16 MiB come back the same', async () => {
  const bytes = createHash('shake256', { outputLength: 18_000_000 }).update('large').digest();
  await server.run('SET', 'large string', bytes);
  for (let at = 0; at < bytes.length; at += 1_000_000) {
    const fields = Array.from({ length: 100 }, (_, part) => [
      `${at + part}`,
      bytes.subarray(at + part * 10_000, at + part * 10_000 + 10_000),
    ]);
    await server.run('HSET', 'large hash', ...fields.flat());
  }
  await server.run('PEXPIREAT', 'large hash', 4_102_444_800_123);
  const before = await instance.fingerprint();
  await thereAndBack();
  expect(await instance.fingerprint()).toEqual(before);
});

test('keys that expired since the backup are not there, others expire when they would have', async () => {
  await server.run('SET', 'soon', 'v', 'PX', 400);
  await server.run('SET', 'later', 'v', 'PXAT', 4_102_444_800_123);
  const backup = await takeBackup(engine, instance.connection);
  await new Promise((resolve) => setTimeout(resolve, 450));
  const ticket = ticketFor(backup.source);
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await server.run('EXISTS', 'soon')).toBe(0);
  expect(await server.run('PEXPIRETIME', 'later')).toBe(4_102_444_800_123);
});

test('how long ago, or how often, keys were used is kept', async () => {
  await server.run('SET', 'a', 'b');
  await server.run('CONFIG', 'SET', 'maxmemory-policy', 'volatile-lfu');
  try {
    await server.run('RESTORE', 'often', 0, (await server.run('DUMP', 'a')) as Buffer, 'FREQ', 99);
    const backup = await takeBackup(engine, instance.connection);
    await engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), never);
    expect(await server.run('OBJECT', 'FREQ', 'often')).toBe(99);
  } finally {
    await server.run('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  }
});

test('what a restore keeps for its undo is not in later backups', async () => {
  await instance.fill('hostile');
  const first = await takeBackup(engine, instance.connection);
  await server.run('SET', 'replaced', 'a secret that was deleted');
  const ticket = ticketFor(first.source);
  await engine.restore(instance.connection, streamOf(first.bytes), ticket, never);
  const before = await instance.fingerprint();
  const second = await takeBackup(engine, instance.connection);
  expect(second.bytes.includes('a secret that was deleted')).toBe(false);
  expect(second.source.details.databases).toEqual(first.source.details.databases);
  const again = ticketFor(second.source);
  await engine.restore(instance.connection, streamOf(second.bytes), again, never);
  expect(await instance.fingerprint()).toEqual(before);
  for (const { id } of [ticket, again]) await engine.undo?.discard(instance.connection, id, never);
  const said = await takeBackup(engine, instance.connection);
  expect(said.source.details.leftOut).toEqual([]);
});

test('databases that the backup has not are empty after a restore, and back after an undo', async () => {
  await server.run('SET', 'a', '1');
  const backup = await takeBackup(engine, instance.connection);
  await server.runIn(9, 'SET', 'b', '2');
  const before = await instance.fingerprint();
  const ticket = ticketFor(backup.source);
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await ownDatabases(server)).toEqual([0]);
  await server.runIn(11, 'SET', 'since', 'then');
  await engine.undo?.undo(instance.connection, ticket.id, never);
  expect(await instance.fingerprint()).toEqual(before);
});

test('a database that comes into use while the new data is built is replaced, too, and back after an undo', async () => {
  await server.run('SET', 'a', '1');
  const backup = await takeBackup(engine, instance.connection);
  const ticket = ticketFor(backup.source);
  const bytes = Readable.from(
    (async function* () {
      yield backup.bytes.subarray(0, 20);
      await server.runIn(6, 'SET', 'since', 'then');
      yield backup.bytes.subarray(20);
    })(),
  );
  expect((await engine.restore(instance.connection, bytes, ticket, never)).undoable).toBe(true);
  expect(await ownDatabases(server)).toEqual([0]);
  await engine.undo?.undo(instance.connection, ticket.id, never);
  expect(await ownDatabases(server)).toEqual([0, 6]);
});

test('functions without any key are restored, known to be there, and undone', async () => {
  const load = (name: string) =>
    server.run(
      ...['FUNCTION', 'LOAD', `#!lua name=${name}\nredis.register_function('${name}', function() end)`],
    );
  await load('of_the_backup');
  const after = await instance.fingerprint();
  const backup = await takeBackup(engine, instance.connection);
  await load('since');
  const before = await instance.fingerprint();
  const ticket = ticketFor(backup.source);
  await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  expect(await instance.fingerprint()).toEqual(after);
  expect(await engine.settleRestore(instance.connection, ticket.id, never)).toBe('switched');
  await engine.undo?.undo(instance.connection, ticket.id, never);
  expect(await instance.fingerprint()).toEqual(before);
});

test('what an earlier restore keeps does not become data with the undo of one that needs its database', async () => {
  await server.runIn(15, 'SET', 'in the last one', 'v');
  const ofLast = await takeBackup(engine, instance.connection);
  await server.run('FLUSHALL');
  await server.run('SET', 'a', 'replaced first');
  const backup = await takeBackup(engine, instance.connection);
  const first = ticketFor(backup.source);
  await engine.restore(instance.connection, streamOf(backup.bytes), first, never);
  const before = await instance.fingerprint();
  const second = ticketFor(ofLast.source);
  await engine.restore(instance.connection, streamOf(ofLast.bytes), second, never);
  expect(await ownDatabases(server)).toEqual([15]);
  await engine.undo?.undo(instance.connection, second.id, never);
  expect(await instance.fingerprint()).toEqual(before);
  await expect(engine.undo?.undo(instance.connection, first.id, never)).rejects.toMatchObject({
    code: 'UndoUnavailable',
  });
});

test('a key that has the name of our marker is left out, and the report says so', async () => {
  await server.run('MSET', markerKey, 'of a user', 'other', 'v');
  const { report } = await thereAndBack();
  expect(report.notKept).toEqual([expect.stringContaining(markerKey)]);
  expect(await server.run('GET', 'other')).toBeInstanceOf(Buffer);
});
