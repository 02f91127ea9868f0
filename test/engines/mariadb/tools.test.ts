import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { createMariadbEngine } from '../../../src/engines/mariadb/engine.ts';
import { type MariadbServer, startMariadbServer } from '../../support/mariadb-server.ts';
import { processesWith } from '../processes.ts';
import { type MariadbInstance, makeMariadbInstance } from './instance.ts';

const never = new AbortController().signal;
let server: MariadbServer;
let folder: string;
let instance: MariadbInstance;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tools-'));
  server = await startMariadbServer({ fsync: 'off' });
  instance = await makeMariadbInstance(server, 'owner');
});
afterAll(async () => {
  await instance.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A folder with a fake mariadb-dump that says it is of a version. */
async function fake(version: string, body = 'exit 9'): Promise<string> {
  const path = await mkdtemp(join(folder, 'bin-'));
  await mkdir(path, { recursive: true });
  const says = `mariadb-dump  Ver 10.19 Distrib ${version}-MariaDB, for Linux`;
  await writeFile(
    join(path, 'mariadb-dump'),
    `#!/bin/sh\ncase "$*" in *--version*) echo "${says}"; exit 0;; esac\n${body}\n`,
  );
  await chmod(join(path, 'mariadb-dump'), 0o755);
  return path;
}

const only = (...dirs: string[]) => createMariadbEngine({ usualToolDirs: dirs });
const end = "echo '/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;'";

test('a tool that is missing or too old is named before anything is done, with what to install', async () => {
  for (const engine of [only(), only(await fake('10.4.34')), only(await fake('10.6.20'))]) {
    const expected = { code: 'ToolMissing', hint: expect.stringContaining('apt-get install mariadb-client') };
    await expect(engine.probe(instance.connection, never)).rejects.toMatchObject(expected);
    await expect(engine.backUp(instance.connection, never)).rejects.toMatchObject(expected);
  }
  expect(await only().tools(never)).toEqual([
    { tool: 'mariadb-dump', found: [], hint: expect.stringContaining('apt-get') },
  ]);
});

test.for([
  ['fails at its very end', `${end}; echo 'mariadb-dump: Couldn'\\''t execute' >&2; exit 2`, 'ToolFailed'],
  ['is killed', `${end}; kill -9 $$`, 'ToolFailed'],
  ['says it succeeded without having done so', 'echo "CREATE TABLE"; exit 0', 'ToolFailed'],
  ['writes nothing and says it succeeded', 'exit 0', 'ToolFailed'],
  ['hangs', 'echo something; sleep 1000', 'InstanceBusy'],
  [
    'lost the server',
    'echo "mariadb-dump: Error 2013: Lost connection to server" >&2; exit 3',
    'InstanceUnreachable',
  ],
  [
    'has no right',
    'echo "mariadb-dump: Got error: 1044: \\"Access denied\\"" >&2; exit 2',
    'InstanceRefused',
  ],
] as const)('a mariadb-dump that %s fails the backup', async ([, body, code]) => {
  const { stream } = await createMariadbEngine({
    usualToolDirs: [await fake('10.11.99', body)],
    stallMs: body.includes('sleep') ? 500 : 60_000,
  }).backUp(instance.connection, never);
  await expect(buffer(stream)).rejects.toMatchObject({ code });
});

test('nothing secret is in arguments, and the file of options is gone afterwards', async () => {
  const noted = join(folder, 'noted');
  const dump = `echo "$@" > ${noted}; stat -c %a "\${1#--defaults-file=}" >> ${noted}; sleep 0.3; ${end}`;
  // A temp folder of its own: tests beside this one use the usual one.
  const temp = await mkdtemp(join(folder, 'temp-'));
  vi.stubEnv('TMPDIR', temp);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { stream } = await only(await fake('10.11.99', dump)).backUp(instance.connection, never);
  const secret = String(instance.connection.password);
  await expect.poll(() => readFile(noted, 'utf8').catch(() => '')).toContain('600');
  expect(await readdir(temp)).toHaveLength(1);
  expect(processesWith(secret)).toEqual([]);
  await buffer(stream);
  expect(await readFile(noted, 'utf8')).not.toContain(secret);
  await expect.poll(() => readdir(temp)).toEqual([]);
});
