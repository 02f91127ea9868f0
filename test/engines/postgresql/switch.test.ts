import pg from 'pg';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { clientConfig } from '../../support/postgres-client.ts';
import { makePostgresInstance, type PostgresInstance } from './instance.ts';

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;

let instance: PostgresInstance;
let backup: TakenBackup;

beforeEach(async () => {
  instance = await makePostgresInstance(adminUrl, 'owner');
  await instance.asRole("CREATE TABLE state AS SELECT 'old' AS value");
  backup = await takeBackup(engine, instance.connection);
  await instance.asRole("UPDATE state SET value = 'new'");
});
afterEach(async () => {
  expect(await instance.remains()).toEqual([]);
  await instance.close();
});

const restore = (signal = never) =>
  engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source), signal);
const state = async () => (await instance.admin<{ value: string }>('SELECT value FROM state'))[0]?.value;

test('clients that hold transactions open and connect again at once do not stop a switch', async () => {
  let stopped = false;
  let connections = 0;
  const role = { ...instance.connection, user: instance.role } as pg.ClientConfig;
  const clients = Array.from({ length: 8 }, async () => {
    while (!stopped) {
      const client = new pg.Client({ ...role, password: String(instance.connection.password) });
      client.on('error', () => {});
      try {
        await client.connect();
        connections++;
        await client.query('BEGIN; SELECT * FROM state; SELECT pg_sleep(30)');
      } catch {
        // Ended, or refused in the moment of the switch: it comes again.
      } finally {
        await client.end().catch(() => {});
      }
    }
  });
  try {
    await expect.poll(() => connections).toBeGreaterThanOrEqual(clients.length);
    const report = await restore();
    expect(report.switchMs).toBeLessThan(3000);
    expect(await state()).toBe('old');
  } finally {
    stopped = true;
    await instance.admin(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await Promise.all(clients);
  }
});

test('a session that cannot be ended makes the restore fail as busy; the old data stays and takes writes', async () => {
  const admin = new pg.Client(clientConfig(instance.url));
  await admin.connect();
  try {
    await expect(restore()).rejects.toMatchObject({ code: 'InstanceBusy', hint: expect.any(String) });
    expect(await state()).toBe('new');
    await instance.write();

    // The same wait, canceled.
    const canceled = new AbortController();
    const ticket = ticketFor(backup.source, {
      beforeSwitch: async () => void setTimeout(() => canceled.abort(), 200),
    });
    const startedAt = Date.now();
    const restoring = engine.restore(instance.connection, streamOf(backup.bytes), ticket, canceled.signal);
    await expect(restoring).rejects.toMatchObject({ code: 'Canceled' });
    expect(Date.now() - startedAt).toBeLessThan(4500);
    expect(await state()).toBe('new');
    await instance.write();
  } finally {
    await admin.end();
  }
  await restore();
  expect(await state()).toBe('old');
});

test('a prepared transaction makes the restore fail as busy', async () => {
  await instance.asRole("BEGIN; UPDATE state SET value = 'prepared'; PREPARE TRANSACTION 'held'");
  await expect(restore()).rejects.toMatchObject({
    code: 'InstanceBusy',
    message: expect.stringContaining('held'),
  });
  await instance.asRole("COMMIT PREPARED 'held'");
  expect(await state()).toBe('prepared');
});

test('a database with subscriptions is not replaced', async () => {
  await instance.admin(
    `CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false, slot_name = NONE)`,
  );
  await expect(restore()).rejects.toMatchObject({
    code: 'InstanceRefused',
    message: expect.stringContaining('sub'),
  });
  await instance.admin('DROP SUBSCRIPTION sub');
});

test('nobody can connect to the replaced database, and two restores can be told apart', async () => {
  const [first, second] = [ticketFor(backup.source), ticketFor(backup.source)];
  await engine.restore(instance.connection, streamOf(backup.bytes), first, never);
  const kept = await instance.admin<{ datallowconn: boolean }>(
    `SELECT datallowconn FROM pg_database WHERE datname = 'forestay_${first.id.replaceAll('-', '')}_before'`,
  );
  expect(kept).toEqual([{ datallowconn: false }]);
  await engine.undo?.discard(instance.connection, first.id, never);
  await instance.asRole("UPDATE state SET value = 'second'");
  await engine.restore(instance.connection, streamOf(backup.bytes), second, never);
  await expect(engine.undo?.undo(instance.connection, first.id, never)).rejects.toMatchObject({
    code: 'UndoUnavailable',
  });
  expect(await state()).toBe('old');
  await engine.undo?.undo(instance.connection, second.id, never);
  expect(await state()).toBe('second');
});

test('where a session holds a lock, a restore in place fails as busy in the end and changes nothing', async () => {
  await instance.admin(`ALTER ROLE "${instance.role}" NOCREATEDB`);
  const holder = new pg.Client(clientConfig(instance.url));
  await holder.connect();
  try {
    await holder.query('BEGIN; LOCK TABLE state IN ROW EXCLUSIVE MODE');
    const canceled = new AbortController();
    setTimeout(() => canceled.abort(), 1500);
    await expect(restore(canceled.signal)).rejects.toMatchObject({ code: 'Canceled' });
    await holder.query('COMMIT');
  } finally {
    await holder.end();
  }
  expect(await state()).toBe('new');
});
