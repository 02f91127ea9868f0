import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { readTarget } from '../../../src/engines/mariadb/connection.ts';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { withSession } from '../../../src/engines/mariadb/session.ts';
import { type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { connectMariadb, quoteMariadb } from '../../support/mariadb-client.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { freeze } from '../processes.ts';
import { type MariadbInstance, makeMariadbInstance } from './instance.ts';

const engine = createMariadbEngine();
const impatient = createMariadbEngine({ stallMs: 500 });
const never = new AbortController().signal;
let server: MariadbServer;
let instance: MariadbInstance;
let backup: TakenBackup;

beforeAll(async () => {
  server = await startMariadbServer({ fsync: 'off' });
});
afterAll(() => server.stop());
beforeEach(async () => {
  instance = await makeMariadbInstance(server, 'owner');
  await instance.fill('bulk');
  backup = await takeBackup(engine, instance.connection);
  await instance.write();
});
afterEach(async () => {
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), { timeout: 10_000 });
  await instance.close();
});

test.for(['transferring', 'verifying', 'switching'] as const)(
  'a server that hangs while a restore is %s fails it, and the old data is there when it is back',
  async (when) => {
    const before = await instance.fingerprint();
    const ticket = ticketFor(backup.source, {
      onPhase: (phase) => {
        if (phase === when && when !== 'transferring') process.kill(server.pid, 'SIGSTOP');
      },
    });
    const half = backup.bytes.length / 2;
    const bytes = Readable.from(
      (async function* () {
        yield backup.bytes.subarray(0, half);
        if (when === 'transferring') await freeze(server.pid);
        yield backup.bytes.subarray(half);
      })(),
    );
    try {
      const restoring = impatient.restore(instance.connection, bytes, ticket, never);
      await expect(restoring).rejects.toMatchObject({
        code: 'InstanceUnreachable',
        message: expect.stringContaining('answered nothing for 0.5 s'),
        hint: expect.any(String),
        retryable: true,
      });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    expect(await engine.settleRestore(instance.connection, ticket.id, never)).toBe('clean');
    expect(await instance.fingerprint()).toEqual(before);
    await instance.write();
  },
);

test('a server that hangs while it is asked what there is to back up fails the backup', async () => {
  const target = readTarget(instance.connection);
  await withSession(target, { signal: never, silenceMs: 300 }, async (session) => {
    await freeze(server.pid);
    try {
      await expect(session.query('SELECT 1')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
  });
});

test('a server that works long for a statement does not hang', async () => {
  const target = readTarget(instance.connection);
  await withSession(target, { signal: never, silenceMs: 100 }, async (session) => {
    expect(await session.query('SELECT SLEEP(1) AS slept')).toEqual([{ slept: 0 }]);
  });
});

test('a statement that waits for a lock for longer than that is given up', async () => {
  const target = readTarget(instance.connection);
  const holder = await connectMariadb(instance.userAddress);
  try {
    await holder.query('START TRANSACTION; SELECT COUNT(*) FROM bulk');
    await withSession(target, { signal: never, silenceMs: 300 }, async (session) => {
      const dropping = session.query(`DROP TABLE ${quoteMariadb(instance.database)}.bulk`);
      await expect(dropping).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    });
  } finally {
    await holder.end();
  }
});
