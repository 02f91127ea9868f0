import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import { keptName, stagingName, undoneName } from '../../../src/engines/postgresql/names.ts';
import { streamOf, type TakenBackup, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { runSql } from '../../support/postgres-client.ts';
import { makePostgresInstance, type PostgresInstance, type Rights } from './instance.ts';

/** Somebody else on the same server, who may create databases and sees the names of all of them. */

const adminUrl = inject('postgresUrl');
const engine = createPostgresqlEngine();
const never = new AbortController().signal;

let instance: PostgresInstance;
let squatter: PostgresInstance;
let backup: TakenBackup;
let id: string;

beforeEach(async () => {
  squatter = await makePostgresInstance(adminUrl, 'owner');
  id = randomUUID();
});
afterEach(async () => {
  await instance.close();
  await squatter.close();
});

async function prepare(rights: Rights): Promise<void> {
  instance = await makePostgresInstance(adminUrl, rights);
  await instance.write();
  backup = await takeBackup(engine, instance.connection);
  await instance.asRole("INSERT INTO written VALUES ('later')");
}
const restore = () =>
  engine.restore(instance.connection, streamOf(backup.bytes), ticketFor(backup.source, { id }), never);
const take = (name: string) => squatter.asRole(`CREATE DATABASE ${name}`);
const databases = async () =>
  (
    await runSql<{ name: string }>(
      adminUrl,
      `SELECT datname AS name FROM pg_database WHERE datname LIKE 'forestay_${id.replaceAll('-', '')}%' ORDER BY 1`,
    )
  ).map(({ name }) => name);

for (const rights of ['owner', 'superuser'] as const) {
  test(`a foreign database with the name of the kept one makes no restore look done (rights: ${rights})`, async () => {
    await prepare(rights);
    await take(keptName(id));
    const before = await instance.fingerprint();
    await expect(restore()).rejects.toMatchObject({
      code: 'InstanceRefused',
      message: expect.stringContaining(keptName(id)),
      hint: expect.stringContaining('dropped or renamed'),
    });
    expect(await engine.settleRestore(instance.connection, id, never)).toBe('clean');
    expect(await instance.fingerprint()).toEqual(before);
    await expect(engine.undo?.undo(instance.connection, id, never)).rejects.toMatchObject({
      code: 'UndoUnavailable',
    });
    await engine.undo?.discard(instance.connection, id, never);
    expect(await databases()).toEqual([keptName(id)]);
  });

  test(`foreign databases with names of staging are neither dropped nor in the way of settling (rights: ${rights})`, async () => {
    await prepare(rights);
    const foreign = [stagingName(id, 2), undoneName(id)].toSorted();
    for (const name of foreign) await take(name);
    await restore();
    expect(await engine.settleRestore(instance.connection, id, never)).toBe('switched');
    expect(await databases()).toEqual([...foreign, keptName(id)].toSorted());
    await expect(engine.undo?.undo(instance.connection, id, never)).rejects.toMatchObject({
      code: 'InstanceRefused',
    });
    await engine.undo?.discard(instance.connection, id, never);
    expect(await databases()).toEqual(foreign);
  });
}
