import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { backupGuid, type FakeSite, guid, startFakeSite } from './fake-site.ts';
import { run, runInTerminal, temporaryFolder } from './run.ts';

const key = 'Zx9-a key nobody may see';
const paths = `/v1/instances/${guid}`;

let site: FakeSite;
/** The arguments of every process, as they were while a request was being answered. */
let argumentsSeen = '';
beforeAll(async () => {
  site = await startFakeSite();
  for (const call of [
    `PATCH ${paths}/backup-config`,
    `POST ${paths}/disaster-recovery/perform`,
    'POST /v1/instances',
  ]) {
    site.on(call, async () => {
      argumentsSeen += await allArguments();
      return { message: 'ok', restore_id: 3, warnings: [] };
    });
  }
});
afterAll(() => site[Symbol.asyncDispose]());

async function allArguments(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.join('\n');
}

function lastBody(call: string): unknown {
  return site.requests.findLast((request) => request.call === call)?.body;
}

test('a key comes from stdin, or from a file, and is in no arguments and no output (promise: no secret leaves)', async () => {
  await using folder = await temporaryFolder();
  await writeFile(path.join(folder.path, 'key'), `${key}\n`);
  const results = [
    await run(['key', 'set', guid], { site, stdin: `${key}\n` }),
    await run(['key', 'set', guid, '--key-file', 'key', '--json'], { site, cwd: folder.path }),
    await run(['dr', 'perform', guid, backupGuid], { site, stdin: key }),
  ];
  for (const result of results) {
    expect(result.code).toBe(0);
    expect(result.stdout + result.stderr).not.toContain(key);
  }
  expect(lastBody(`PATCH ${paths}/backup-config`)).toEqual({ encryption_key: key });
  expect(lastBody(`POST ${paths}/disaster-recovery/perform`)).toEqual({
    backup_guid: backupGuid,
    encryption_key: key,
  });
  expect(argumentsSeen).toContain('src/main.ts');
  expect(argumentsSeen).not.toContain(key);
  expect(argumentsSeen).not.toContain(site.token);
});

test('an empty key, and one of several lines, are refused before anything is sent', async () => {
  const before = site.requests.length;
  expect(await run(['key', 'set', guid], { site, stdin: '\n' })).toMatchObject({ code: 2 });
  expect(await run(['key', 'set', guid], { site, stdin: 'one\ntwo\n' })).toMatchObject({ code: 2 });
  expect(site.requests.length).toBe(before);
});

test('at a terminal a key is asked for twice and not shown', async () => {
  const dialogue = [
    ['New encryption key', `${key}\r`],
    ['New encryption key again', `${key}\r`],
  ] as const;
  const { code, screen } = await runInTerminal(['key', 'set', guid], dialogue, { site });
  expect(screen).toContain('The key is set');
  expect(code).toBe(0);
  expect(screen).not.toContain(key.slice(0, 6));
  expect(lastBody(`PATCH ${paths}/backup-config`)).toEqual({ encryption_key: key });
});

test('two entries that differ change nothing, and neither does Ctrl-C in a question', async () => {
  const before = site.requests.length;
  const differing = await runInTerminal(
    ['key', 'set', guid],
    [
      ['New encryption key', 'one key\r'],
      ['New encryption key again', 'another key\r'],
    ],
    { site },
  );
  expect(differing).toMatchObject({ code: 2, screen: expect.stringContaining('differ') });
  const left = await runInTerminal(['key', 'set', guid], [['New encryption key', '\u0003']], { site });
  expect(left.code).toBe(130);
  expect(site.requests.length).toBe(before);
});

test('a connection is asked for as the engine describes it, its password without showing it', async () => {
  const { code, screen } = await runInTerminal(
    ['instance', 'add', '--engine', 'postgresql', '--name', 'orders'],
    [
      ['Name or address', 'db.example.org\r'],
      ['port', '\r'],
      ['password', 'hunter2hunter2\r'],
    ],
    { site },
  );
  expect(screen).not.toContain('hunter2');
  expect(code).toBe(0);
  expect(lastBody('POST /v1/instances')).toMatchObject({
    connection: { host: 'db.example.org', password: 'hunter2hunter2' },
  });
});

test('at a terminal what replaces data asks first, unless told not to', async () => {
  const before = site.requests.length;
  const refused = await runInTerminal(['restore', 'start', guid, '7'], [['Replace the data', '\r']], {
    site,
  });
  expect(refused).toMatchObject({ code: 2, screen: expect.stringContaining('Nothing was changed') });
  expect(site.requests.length).toBe(before);
  expect(await runInTerminal(['restore', 'start', guid, '7', '--yes'], [], { site })).toMatchObject({
    code: 0,
  });
});

test('a token never reaches the error about it', async () => {
  const result = await run(['instance', 'list'], {
    site: { url: site.url, token: 'wrong-token-0123456789' },
  });
  expect(result.code).toBe(4);
  expect(result.stderr).not.toContain('wrong-token');
});
