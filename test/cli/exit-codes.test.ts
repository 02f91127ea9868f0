import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FakeSite, fail, guid, instance, startFakeSite } from './fake-site.ts';
import { run } from './run.ts';

let site: FakeSite;
beforeAll(async () => {
  site = await startFakeSite();
});
afterAll(() => site[Symbol.asyncDispose]());

describe.concurrent('wrong usage ends with 2 and the command to ask for help', () => {
  const cases: readonly [name: string, args: string[], says: string][] = [
    ['an unknown command', ['backup', 'frob'], 'forestay backup --help'],
    ['a command that is not complete', ['backup'], 'forestay backup --help'],
    ['a missing argument', ['backup', 'show', guid], 'forestay backup show --help'],
    ['an argument too many', ['backup', 'list', guid, '7'], 'too many arguments'],
    ['an unknown option', ['backup', 'list', guid, '--frob'], '--frob'],
    ['a backup that is no number', ['backup', 'show', guid, '7a'], 'must be a number'],
    ['a key among the arguments', ['key', 'set', guid, 'correct-horse'], 'too many arguments'],
    ['a token among the options', ['instance', 'list', '--token', 'secret'], '--token'],
    [
      'a password in the URL',
      ['instance', 'list', '--url', 'http://me:secret@127.0.0.1:1'],
      '--url is not a plain',
    ],
    ['a token without rights', ['token', 'create', '--name', 'x'], '--operator'],
    ['an instance without engine', ['instance', 'add', '--name', 'x'], '--engine'],
    [
      'a connection that is not JSON',
      ['instance', 'add', '--name', 'x', '--engine', 'postgresql'],
      'not a JSON object',
    ],
  ];
  for (const [name, args, says] of cases) {
    test(name, async () => {
      const result = await run(args, { site, stdin: 'no json' });
      expect(result).toMatchObject({ code: 2, stdout: args.length === 1 ? expect.anything() : '' });
      expect(result.stderr).toMatch(args.length === 1 ? /Usage/ : /^error: .*\n(hint: .*\n)?$/s);
      expect(result.stderr).toContain(says);
      expect(result.stderr).not.toMatch(/secret(?!s)|no json/);
    });
  }
});

describe.concurrent('what the API refuses becomes an exit code', () => {
  const cases: readonly [status: number, error: string, code: number][] = [
    [400, 'BadRequest', 2],
    [401, 'Unauthorized', 4],
    [403, 'Forbidden', 4],
    [403, 'EncryptionKeyMismatch', 4],
    [404, 'BackupNotFound', 3],
    [404, 'SomethingNewerNotFound', 3],
    [409, 'RestoreInProgress', 5],
    [423, 'Locked', 5],
    [422, 'IncompatibleBackup', 1],
    [500, 'Internal', 1],
    [502, 'StoreUnavailable', 1],
    [503, 'Overloaded', 6],
  ];
  for (const [status, error, code] of cases) {
    test(`${status} ${error} -> ${code}`, async () => {
      await using other = await startFakeSite();
      other.on(`GET /v1/instances/${guid}/backups`, (_request, response) =>
        fail(response, status, error, 'This is why.'),
      );
      const result = await run(['backup', 'list', guid], { site: other });
      expect(result).toMatchObject({ code, stdout: '' });
      expect(result.stderr).toMatch(/^error: This is why\.\n/);
      if (code === 1) expect(result.stderr).toContain('request-1');
    });
  }
});

test('with --json errors are JSON on stderr, those of usage too', async () => {
  const missing = await run(['backup', 'show', guid, '8', '--json'], { site });
  expect(missing).toMatchObject({ code: 3, stdout: '' });
  expect(JSON.parse(missing.stderr)).toMatchObject({
    error: 'NotFound',
    request_id: 'request-1',
    exit_code: 3,
  });
  const usage = await run(['backup', 'show', '--json'], { site });
  expect(usage).toMatchObject({ code: 2, stdout: '' });
  expect(JSON.parse(usage.stderr)).toMatchObject({
    error: 'Usage',
    exit_code: 2,
    hint: 'See: forestay backup show --help',
  });
});

test('a site that cannot be reached ends with 6 and says what to check', async () => {
  const result = await run(['instance', 'list'], { site: { url: 'http://127.0.0.1:1', token: 'x' } });
  expect(result).toMatchObject({ code: 6, stderr: expect.stringContaining('forestay serve') });
});

test('what is not the API at all is said to be that', async () => {
  await using other = await startFakeSite();
  other.on('GET /v1/instances', (_request, response) => void response.end('<html>a portal</html>'));
  const result = await run(['instance', 'list'], { site: other });
  expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("not Forestay's API") });
});

test('a name that two instances have is refused with the GUIDs of both, one that none has with 3', async () => {
  await using other = await startFakeSite();
  const twin = { ...instance, instance_id: guid.replace('c4', 'd4') };
  other.on('GET /v1/instances', () => [instance, twin]);
  const result = await run(['backup', 'list', 'orders'], { site: other });
  expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining(`${guid}, ${twin.instance_id}`) });
  expect(await run(['backup', 'list', 'nobody'], { site: other })).toMatchObject({ code: 3 });
});

test('help and every command of it end with 0', async () => {
  const help = await run(['--help']);
  expect(help).toMatchObject({ code: 0, stderr: '' });
  expect(await run(['backup', 'download', '--help'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/--stored.*--json/s),
  });
});
