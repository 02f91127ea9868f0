import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { createPostgresqlEngine } from '../../../src/engines/postgresql/engine.ts';
import {
  findToolsets,
  type Toolset,
  toolsToDump,
  toolsToRestore,
} from '../../../src/engines/postgresql/tools.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';
import { findServerBinaries } from '../../support/postgres-server.ts';
import { engineWith, fakeTools } from './fake-tools.ts';
import { makePostgresInstance, type PostgresInstance } from './instance.ts';

const never = new AbortController().signal;
let folder: string;
let instance: PostgresInstance;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tools-'));
  instance = await makePostgresInstance(inject('postgresUrl'), 'owner');
  await instance.fill('bulk');
});
afterEach(async () => {
  await instance.close();
  await rm(folder, { recursive: true });
});

const fake = (version: string, bodies?: Record<string, string>) => fakeTools(folder, version, bodies);
const only = (...dirs: string[]) => engineWith(dirs);

test('tools that are missing or too old are named before anything is done, with what to install', async () => {
  for (const engine of [only(), only(await fake('9.6.24'), await fake('14.11'))]) {
    const expected = {
      code: 'ToolMissing',
      hint: expect.stringContaining('apt-get install postgresql-client-15'),
    };
    await expect(engine.probe(instance.connection, never)).rejects.toMatchObject(expected);
    await expect(engine.backUp(instance.connection, never)).rejects.toMatchObject(expected);
  }
  expect(
    (await only().tools(never)).every(({ found, hint }) => found.length === 0 && hint !== undefined),
  ).toBe(true);
  const [report] = await only(join(folder, '*/bin')).tools(never);
  expect(report?.found.map(({ version }) => version)).toEqual(['14.11', '9.6.24']);
});

test('programs of different versions in one folder are not a set', async () => {
  const path = await fake('16.1');
  await writeFile(join(path, 'psql'), '#!/bin/sh\necho "psql (PostgreSQL) 12.1"\n');
  expect(await findToolsets([path], never)).toEqual([]);
});

test('the version of the server comes first, then the next newer one', () => {
  const sets = ['17.2', '16.4', '15.9', '15.2', '13.1'].map(
    (version): Toolset => ({ version, major: Number.parseInt(version, 10), folder: version }),
  );
  expect(toolsToDump(sets, 15).version).toBe('15.9');
  expect(toolsToDump(sets, 14).version).toBe('15.9');
  expect(() => toolsToDump(sets, 18)).toThrow(expect.objectContaining({ code: 'ToolMissing' }));
  expect(toolsToRestore(sets, 15, 13).version).toBe('15.9');
  expect(toolsToRestore(sets, 15, 16).version).toBe('16.4');
  expect(() => toolsToRestore(sets, 15, 18)).toThrow(expect.objectContaining({ code: 'ToolMissing' }));
});

test('of client tools of many versions side by side, those of the server are used, in their newest minor version', async () => {
  const pgDump = `exec ${findServerBinaries()}/pg_dump "$@"`;
  const versions = ['13.22', '14.19', '15.2', '15.99', '16.10', '17.6', '18.1'];
  for (const version of versions) await fake(version, version === '15.99' ? { pg_dump: pgDump } : {});
  const engine = only(join(folder, '*/bin'));
  const [report] = await engine.tools(never);
  expect(report?.found.map(({ version }) => version)).toEqual(versions.toReversed());
  const { stream, tool } = await engine.backUp(instance.connection, never);
  expect(tool).toEqual({ name: 'pg_dump', version: '15.99' });
  expect((await buffer(stream)).subarray(0, 5).toString()).toBe('PGDMP');
  for (const version of ['15.2', '15.99']) await rm(join(folder, version), { recursive: true });
  const next = await engine.backUp(instance.connection, never);
  expect(next.tool.version).toBe('16.10');
  await expect(buffer(next.stream)).rejects.toMatchObject({ code: 'ToolFailed' });
});

test('a pg_dump that fails at its very end fails the backup, and nothing secret is in its arguments', async () => {
  const dump = `echo "$@" > ${folder}/args; echo PGDMP; echo 'pg_dump: error: something broke' >&2; exit 1`;
  const { stream } = await only(await fake('15.99', { pg_dump: dump })).backUp(instance.connection, never);
  await expect(buffer(stream)).rejects.toMatchObject({
    code: 'ToolFailed',
    message: expect.stringContaining('something broke'),
  });
  const { readFile } = await import('node:fs/promises');
  const args = await readFile(join(folder, 'args'), 'utf8');
  for (const secret of [String(instance.connection.password), instance.database])
    expect(args).not.toContain(secret);
});

test('a pg_dump that is killed fails the backup', async () => {
  const { stream } = await only(await fake('15.99', { pg_dump: 'echo PGDMP; kill -9 $$' })).backUp(
    instance.connection,
    never,
  );
  await expect(buffer(stream)).rejects.toMatchObject({ code: 'ToolFailed' });
});

test.for([
  ['says it succeeded without doing anything', 'exit 0'],
  ['swallows everything and does nothing', 'cat > /dev/null; exit 0'],
  ['fails after it has read everything', 'cat > /dev/null; echo "pg_restore: error: no" >&2; exit 1'],
  ['is killed', 'kill -9 $$'],
] as const)('a pg_restore that %s leaves the instance as it was', async ([, body]) => {
  const backup = await takeBackup(createPostgresqlEngine(), instance.connection);
  const before = await instance.fingerprint();
  const engine = only(await fake('15.99', { pg_restore: body }));
  const restoring = engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  await expect(restoring).rejects.toMatchObject({ code: 'ToolFailed' });
  expect(await instance.fingerprint()).toEqual(before);
  expect(await instance.remains()).toEqual([]);
});

test.for([
  ['could not extend file "base/1/2": No space left on device', 'InstanceFull'],
  ['connection to server at "db" failed: Connection refused', 'InstanceUnreachable'],
  ['server closed the connection unexpectedly', 'InstanceUnreachable'],
  ['unsupported version (1.99) in file header', 'ToolMissing'],
  ['could not execute query: ERROR:  permission denied for schema x', 'InstanceRefused'],
] as const)('what a tool says becomes an error somebody can act on: %s', async ([text, code]) => {
  const backup = await takeBackup(createPostgresqlEngine(), instance.connection);
  const engine = only(
    await fake('15.99', { pg_restore: `cat > /dev/null; echo 'pg_restore: error: ${text}' >&2; exit 1` }),
  );
  const restoring = engine.restore(
    instance.connection,
    streamOf(backup.bytes),
    ticketFor(backup.source),
    never,
  );
  await expect(restoring).rejects.toMatchObject({ code, hint: expect.any(String) });
});
