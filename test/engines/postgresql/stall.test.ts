import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, inject, test, vi } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { findServerBinaries } from '../../support/postgres-server.ts';
import { childrenOf } from '../../support/processes.ts';
import { engineWith, fakeTools } from './fake-tools.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

const never = new AbortController().signal;
const stallMs = 400;
const real = findServerBinaries();
const realTools = {
  pg_dump: `exec ${real}/pg_dump "$@"`,
  pg_restore: `exec ${real}/pg_restore "$@"`,
  psql: `exec ${real}/psql "$@"`,
};
const stalled = {
  code: 'InstanceUnreachable',
  retryable: true,
  message: expect.stringMatching(/^pg_(dump|restore) moved no byte for 0.4 s/),
  hint: expect.any(String),
};

let folder: string;
let instance: PostgresInstance;

async function prepare(rights: Rights = 'owner'): Promise<void> {
  instance = await makePostgresInstance(inject('postgresUrl'), rights);
  await instance.fill('bulk');
}
async function hasty(bodies: Record<string, string>) {
  return engineWith([await fakeTools(folder, '15.99', { ...realTools, ...bodies })], { stallMs });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stall-'));
});
afterEach(async () => {
  // A session that was cut off in the middle of a question ends when the server has answered it.
  await vi.waitFor(async () => expect(await instance.remains()).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
  expect((await childrenOf(process.pid)).filter(({ command }) => command.includes(folder))).toEqual([]);
  await instance.close();
  await rm(folder, { recursive: true });
});

describe('a backup', () => {
  test.for([
    ['from the start', 'sleep 1000'],
    ['after some bytes', 'echo PGDMP; sleep 1000'],
    ['with its session open', `sleep 1000 | ${real}/psql -X -q -w`],
  ] as const)('fails when pg_dump hangs %s', async ([, body]) => {
    await prepare();
    const { stream } = await (await hasty({ pg_dump: body })).backUp(instance.connection, never);
    await expect(buffer(stream)).rejects.toMatchObject(stalled);
  });

  test('goes on when pg_dump is silent because the server works for it', async () => {
    await prepare();
    const wait = `${real}/psql -X -q -w -c 'SELECT pg_sleep(1.5)' > /dev/null`;
    const engine = await hasty({ pg_dump: `${wait}; ${realTools.pg_dump}` });
    expect((await takeBackup(engine, instance.connection)).bytes.length).toBeGreaterThan(4_000_000);
  });

  test('goes on when whoever reads it is slow', async () => {
    await prepare();
    const { stream } = await (await hasty({})).backUp(instance.connection, never);
    await sleep(1500);
    expect((await buffer(stream)).length).toBeGreaterThan(4_000_000);
  });
});

describe.for(['owner', 'no createdb'] as const)('a restore (rights: %s)', (rights) => {
  test.for([
    ['takes no byte', { pg_restore: 'sleep 1000' }],
    ['hangs at the end of its input', { pg_restore: 'cat > /dev/null; sleep 1000', psql: 'sleep 1000' }],
  ] as const)('fails when its tool %s, and leaves the instance as it was', async ([, bodies]) => {
    await prepare(rights);
    const { bytes, source } = await takeBackup(createPostgresqlEngine(), instance.connection);
    await instance.write();
    const before = await instance.fingerprint();
    const engine = await hasty(bodies);
    const restoring = engine.restore(instance.connection, streamOf(bytes), ticketFor(source), never);
    await expect(restoring).rejects.toMatchObject(stalled);
    expect(await instance.fingerprint()).toEqual(before);
  });

  test('goes on while the server builds an index, and while bytes or the permission to switch are late', async () => {
    await prepare(rights);
    await instance.asRole(`CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF $1 = 1 AND pg_catalog.current_setting('application_name') ~ '^forestay' THEN PERFORM pg_catalog.pg_sleep(1.2); END IF; RETURN $1; END $$;
      CREATE TABLE slow AS SELECT generate_series(1, 3) AS a; CREATE INDEX ON slow (slow(a))`);
    const { bytes, source } = await takeBackup(createPostgresqlEngine(), instance.connection);
    const before = await instance.fingerprint();
    await instance.write();
    const late = Readable.from(
      (async function* () {
        yield bytes.subarray(0, bytes.length / 2);
        await sleep(1200);
        yield bytes.subarray(bytes.length / 2);
      })(),
    );
    const ticket = ticketFor(source, { beforeSwitch: () => sleep(1200) });
    await (await hasty({})).restore(instance.connection, late, ticket, never);
    expect(await instance.fingerprint()).toEqual(before);
  });
});
