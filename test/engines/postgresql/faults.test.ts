import { Readable } from 'node:stream';
import { expect, inject, test, vi } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { makePostgresInstance } from './instance.ts';

const engine = createPostgresqlEngine();
const never = new AbortController().signal;

test.for(['owner', 'no createdb'] as const)(
  'a connection that is lost half-way is worth another try, and has changed nothing (rights: %s)',
  async (rights) => {
    const instance = await makePostgresInstance(inject('postgresUrl'), rights);
    await instance.fill('bulk');
    const { bytes, source } = await takeBackup(engine, instance.connection);
    await instance.write();
    const before = await instance.fingerprint();
    const cut = Readable.from(
      (async function* () {
        yield bytes.subarray(0, bytes.length / 2);
        await vi.waitFor(
          async () => {
            const ended = await instance.admin(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'forestay-%' AND usename = '${instance.role}'`,
            );
            expect(ended.length).toBeGreaterThan(0);
          },
          { timeout: 10_000, interval: 20 },
        );
        yield bytes.subarray(bytes.length / 2);
      })(),
    );
    const restoring = engine.restore(instance.connection, cut, ticketFor(source), never);
    await expect(restoring).rejects.toMatchObject({ code: 'InstanceUnreachable', retryable: true });
    expect(await instance.fingerprint()).toEqual(before);
    await instance.write();
    expect(await instance.remains()).toEqual([]);
    await instance.close();
  },
);
