import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { markerKey } from '../../../src/engines/redis/marker.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { type RedisServer, startRedisServer } from '../../support/redis-server.ts';
import { makeRedisInstance, type RedisInstance } from './instance.ts';
import { backupRights, restoreRights } from './rights.ts';

const engine = createRedisEngine();
const never = new AbortController().signal;
const reader = { username: 'reader', password: 'only-backups' };
const nobody = { username: 'nobody', password: 'nothing-at-all' };
const keeper = { username: 'keeper', password: 'everything-needed' };
let server: RedisServer;
let instance: RedisInstance;

beforeAll(async () => {
  server = await startRedisServer({
    users: [
      `user ${reader.username} on >${reader.password} ${backupRights}`,
      `user ${nobody.username} on >${nobody.password} ~* -@all +ping +client|setname`,
      `user ${keeper.username} on >${keeper.password} ${restoreRights}`,
    ],
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await makeRedisInstance(server);
});
afterEach(async () => {
  const left = await instance.remains();
  await instance.close();
  expect(left).toEqual([]);
});

const restore = (backup: TakenBackup, connection = instance.connection) =>
  engine.restore(connection, streamOf(backup.bytes), ticketFor(backup.source), never);

/** Restores into the instance, which must fail and leave everything as it was. */
async function refusesRestore(
  backup: TakenBackup,
  expected: object,
  connection = instance.connection,
): Promise<void> {
  const before = await instance.fingerprint();
  await expect(restore(backup, connection)).rejects.toMatchObject({ hint: expect.any(String), ...expected });
  expect(await instance.fingerprint()).toEqual(before);
  await instance.write();
}

async function withSettings(settings: Record<string, string>, run: () => Promise<void>): Promise<void> {
  const before: [string, string][] = [];
  for (const [name, value] of Object.entries(settings)) {
    const [, old] = (await server.run('CONFIG', 'GET', name)) as Buffer[];
    before.push([name, String(old)]);
    await server.run('CONFIG', 'SET', name, value);
  }
  try {
    await run();
  } finally {
    for (const [name, value] of before) await server.run('CONFIG', 'SET', name, value);
  }
}

describe('a full server', () => {
  test.for(['allkeys-lru', 'volatile-ttl'])(
    'is told before anything is done, and loses none of its keys (%s)',
    async (policy) => {
      await instance.fill('bulk');
      const backup = await takeBackup(engine, instance.connection);
      await withSettings({ maxmemory: '12mb', 'maxmemory-policy': policy }, () =>
        refusesRestore(backup, {
          code: 'InstanceFull',
          message: expect.stringContaining('maxmemory is 12.0 MiB'),
        }),
      );
    },
  );

  test('is noticed while the data is built, when the backup said less than it needs', async () => {
    await instance.fill('bulk');
    const backup = await takeBackup(engine, instance.connection);
    const details = { ...backup.source.details, usedMemory: 1000 };
    const understated = { ...backup, source: { ...backup.source, details } };
    const used = Number(/used_memory:(\d+)/.exec(String(await server.run('INFO', 'memory')))?.[1]);
    for (const policy of ['noeviction', 'allkeys-lru'])
      await withSettings({ maxmemory: String(used + 4_000_000), 'maxmemory-policy': policy }, () =>
        refusesRestore(understated, {
          code: 'InstanceFull',
          message: expect.stringContaining('not all there yet'),
        }),
      );
    expect(String(await server.run('INFO', 'stats'))).toContain('evicted_keys:0');
  });

  test('that threw out keys while the data was built fails the restore: they may be of that', async () => {
    for (let at = 0; at < 2000; at++) await server.run('SET', `k${at}`, randomBytes(1000), 'EX', 86_400);
    const backup = await takeBackup(engine, instance.connection);
    await server.run('FLUSHALL');
    const bytes = Readable.from(
      (async function* () {
        yield backup.bytes.subarray(0, -20);
        await expect.poll(() => server.runIn(15, 'DBSIZE')).toBeGreaterThan(1000);
        const used = Number(/used_memory:(\d+)/.exec(String(await server.run('INFO', 'memory')))?.[1]);
        const limit = String(used - 500_000);
        await server.run('CONFIG', 'SET', 'maxmemory', limit, 'maxmemory-policy', 'volatile-random');
        await expect
          .poll(async () => String(await server.run('INFO', 'stats')))
          .toMatch(/evicted_keys:[1-9]/);
        await server.run('CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction');
        yield backup.bytes.subarray(-20);
      })(),
    );
    await expect(
      engine.restore(instance.connection, bytes, ticketFor(backup.source), never),
    ).rejects.toMatchObject({ code: 'InstanceFull', message: expect.stringContaining('threw out keys') });
    expect(await instance.fingerprint()).toEqual({ functions: '' });
    await server.run('CONFIG', 'RESETSTAT');
  });

  test('that throws out any key keeps nothing for an undo, and the report says so', async () => {
    await instance.fill('hostile');
    const before = await instance.fingerprint();
    const backup = await takeBackup(engine, instance.connection);
    await instance.write();
    await withSettings({ maxmemory: '1gb', 'maxmemory-policy': 'allkeys-lru' }, async () => {
      const ticket = ticketFor(backup.source);
      const report = await engine.restore(instance.connection, streamOf(backup.bytes), ticket, never);
      expect(report).toMatchObject({ method: 'staged', undoable: false });
      expect(await instance.fingerprint()).toEqual(before);
      expect(await engine.settleRestore(instance.connection, ticket.id, never)).toBe('switched');
      await expect(engine.undo?.undo(instance.connection, ticket.id, never)).rejects.toMatchObject({
        code: 'UndoUnavailable',
      });
      // The note that there was a switch goes with the next restore.
      await restore(backup);
      const notes = [];
      for (let db = 0; db < 16; db++) if ((await server.runIn(db, 'EXISTS', markerKey)) === 1) notes.push(db);
      expect(notes).toHaveLength(1);
    });
  });
});

test('too few free databases are told before anything is done', async () => {
  for (let db = 0; db < 9; db++) await server.runIn(db, 'SET', 'k', 'v');
  const backup = await takeBackup(engine, instance.connection);
  await refusesRestore(backup, {
    code: 'InstanceFull',
    message: expect.stringContaining('needs 9 databases'),
  });
  const { warnings } = await engine.probe(instance.connection, never);
  expect(warnings).toEqual([expect.stringContaining('7 are free')]);
});

test('where there are too few to keep what is replaced, the restore cannot be undone', async () => {
  for (let db = 0; db < 6; db++) await server.runIn(db, 'SET', 'k', 'v');
  const before = await instance.fingerprint();
  const backup = await takeBackup(engine, instance.connection);
  for (let db = 6; db < 10; db++) await server.runIn(db, 'SET', 'k', 'v');
  // Six are free to build in, and none for the four others.
  const report = await restore(backup);
  expect(report.undoable).toBe(false);
  expect(await instance.fingerprint()).toEqual(before);
});

test('a backup of more databases than the server has is refused', async () => {
  const larger = await startRedisServer({ settings: { databases: '40' } });
  try {
    await larger.runIn(33, 'SET', 'k', 'v');
    const backup = await takeBackup(engine, engine.parseConnection(larger.connection()));
    await refusesRestore(backup, {
      code: 'InstanceRefused',
      message: expect.stringContaining('database 33'),
    });
  } finally {
    await larger.stop();
  }
});

test('a backup of a newer format is refused, by the question before and by the restore', async () => {
  const backup = await takeBackup(engine, instance.connection);
  const source = { ...backup.source, details: { ...backup.source.details, rdbVersion: 12 } };
  await expect(engine.assertRestorable(instance.connection, source, never)).rejects.toMatchObject({
    code: 'IncompatibleBackup',
  });
  await refusesRestore({ ...backup, source }, { code: 'IncompatibleBackup' });
  await expect(
    engine.assertRestorable(instance.connection, { engineVersion: '15.1', details: { schemas: [] } }, never),
  ).rejects.toMatchObject({ code: 'IncompatibleBackup' });
  await engine.assertRestorable(instance.connection, backup.source, never);
});

test('functions that do not load make the restore fail, and the databases are as they were', async () => {
  await server.run('SET', 'new', 'data');
  await server.run(
    'FUNCTION',
    'LOAD',
    "#!lua name=lib\nredis.register_function('ff', function() return 1 end)",
  );
  const backup = await takeBackup(engine, instance.connection);
  await server.run(
    'FUNCTION',
    'LOAD',
    "#!lua name=own\nredis.register_function('gg', function() return 1 end)",
  );
  await server.run('SET', 'old', 'data');
  // The checksum of the whole is not looked at here: the manifest's digests are.
  const bytes = Buffer.from(
    backup.bytes.toString('latin1').replace("register_function('ff'", "register_nothing!('ff'"),
    'latin1',
  );
  expect(bytes.length).toBe(backup.bytes.length);
  await refusesRestore(
    { ...backup, bytes },
    { code: 'IncompatibleBackup', message: expect.stringContaining('functions') },
  );
});

describe('rights', () => {
  const as = (user: typeof reader) => engine.parseConnection(server.connection(user));

  test('a user with the rights for backups makes them, is warned about restores, and is refused one', async () => {
    await instance.fill('hostile');
    const { warnings } = await engine.probe(as(reader), never);
    expect(warnings).toEqual([expect.stringMatching(/may not call WATCH.*restores will fail/)]);
    const backup = await takeBackup(engine, as(reader));
    await refusesRestore(backup, { code: 'InstanceRefused' }, as(reader));
    await restore(backup);
  });

  test('a user with the rights for restores is not warned', async () => {
    expect((await engine.probe(as(keeper), never)).warnings).toEqual([]);
  });

  test('a user who lacks one right is told which', async () => {
    await server.run('ACL', 'SETUSER', 'keeper', '-psync', '-swapdb', '-function|restore');
    try {
      const { warnings } = await engine.probe(as(keeper), never);
      expect(warnings).toEqual([
        expect.stringContaining('PSYNC, so backups will fail'),
        expect.stringContaining('SWAPDB, FUNCTION RESTORE'),
      ]);
      await expect(engine.backUp(as(keeper), never)).rejects.toMatchObject({ code: 'InstanceRefused' });
    } finally {
      await server.run('ACL', 'SETUSER', 'keeper', '+psync', '+swapdb', '+function|restore');
    }
  });

  test('a user who could not clean up is refused a restore before anything is staged', async () => {
    await server.run('SET', 'a', 'b');
    const backup = await takeBackup(engine, instance.connection);
    await server.run('ACL', 'SETUSER', 'keeper', '-flushdb');
    try {
      const expected = { code: 'InstanceRefused', message: expect.stringContaining('FLUSHDB') };
      await refusesRestore(backup, expected, as(keeper));
      await expect(engine.assertRestorable(as(keeper), backup.source, never)).rejects.toMatchObject(expected);
    } finally {
      await server.run('ACL', 'SETUSER', 'keeper', '+flushdb');
    }
  });

  test('a user who may do nothing is refused', async () => {
    await expect(engine.probe(as(nobody), never)).rejects.toMatchObject({ code: 'InstanceRefused' });
    await expect(engine.backUp(as(nobody), never)).rejects.toMatchObject({ code: 'InstanceRefused' });
  });

  test('no password where one is needed is refused', async () => {
    const { host, port } = server;
    const connection = engine.parseConnection({ host, port });
    await expect(engine.probe(connection, never)).rejects.toMatchObject({ code: 'InstanceRefused' });
  });
});

test('a replica is backed up, and refused for a restore with a word', async () => {
  await instance.fill('hostile');
  const before = await instance.fingerprint();
  const replica = await startRedisServer({
    settings: { replicaof: `127.0.0.1 ${server.port}`, masterauth: server.password },
  });
  try {
    const connection = engine.parseConnection(replica.connection());
    await expect
      .poll(async () => String(await replica.run('INFO', 'replication')), { timeout: 20_000 })
      .toContain('master_link_status:up');
    const backup = await takeBackup(engine, connection);
    expect((await engine.probe(connection, never)).warnings).toEqual([
      expect.stringContaining('is a replica'),
    ]);
    await expect(restore(backup, connection)).rejects.toMatchObject({
      code: 'InstanceRefused',
      hint: expect.stringContaining('master'),
    });
    await instance.write();
    await restore(backup);
    expect(await instance.fingerprint()).toEqual(before);
    // What a restore does reaches the replicas.
    const [own, theirs] = [server, replica].map(
      (each) => async () => String(await each.run('DEBUG', 'DIGEST')),
    );
    await expect.poll(theirs!, { timeout: 10_000 }).toBe(await own!());
  } finally {
    await replica.stop();
  }
});

test('a server that hangs fails a restore, which is cleaned up when it is back', async () => {
  await instance.fill('bulk');
  const backup = await takeBackup(engine, instance.connection);
  const before = await instance.fingerprint();
  const impatient = createRedisEngine({ stallMs: 400 });
  const ticket = ticketFor(backup.source, {
    onPhase: (phase) => {
      if (phase !== 'transferring') return;
      process.kill(server.pid, 'SIGSTOP');
      setTimeout(() => process.kill(server.pid, 'SIGCONT'), 2500);
    },
  });
  const restoring = impatient.restore(instance.connection, streamOf(backup.bytes), ticket, never);
  await expect(restoring).rejects.toMatchObject({ code: 'InstanceUnreachable', retryable: true });
  expect(await instance.fingerprint()).toEqual(before);
});

test('a server that hangs while it reads one large value, to which it owes no answer yet, fails a restore', async () => {
  // More than fits into the buffers of a connection.
  await server.run('SET', 'large', randomBytes(24_000_000));
  const backup = await takeBackup(engine, instance.connection);
  const before = await instance.fingerprint();
  const impatient = createRedisEngine({ stallMs: 400, splitFrom: 100_000 });
  const bytes = Readable.from(
    (async function* () {
      yield backup.bytes.subarray(0, 1_000_000);
      // What came before the value is answered by then.
      await sleep(100);
      process.kill(server.pid, 'SIGSTOP');
      setTimeout(() => process.kill(server.pid, 'SIGCONT'), 3500);
      for (let at = 1_000_000; at < backup.bytes.length; at += 1_000_000)
        yield backup.bytes.subarray(at, at + 1_000_000);
    })(),
  );
  const restoring = impatient.restore(instance.connection, bytes, ticketFor(backup.source), never);
  await expect(restoring).rejects.toMatchObject({
    code: 'InstanceUnreachable',
    message: expect.stringContaining('silent for 0.4 s'),
    retryable: true,
  });
  expect(await instance.fingerprint()).toEqual(before);
});
