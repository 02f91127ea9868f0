import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startFakeSite } from './fake-site.ts';
import { run, start, temporaryFolder } from './run.ts';

const program = path.join(import.meta.dirname, 'main-with-fake-app.ts');

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

function options(env: Record<string, string> = {}) {
  return {
    program,
    cwd: folder.path,
    env: { FORESTAY_DATA_DIR: path.join(folder.path, 'data'), FORESTAY_LISTEN: '127.0.0.1:1', ...env },
  };
}

test('serve says where it listens and where the admin token lies, not the token, and stops in order', async () => {
  const { child, result, said } = start(['serve'], options());
  await said('admin-token');
  await said('garbage collected');
  child.kill('SIGINT');
  // As npm does it: the signal that the terminal sent comes a second time.
  child.kill('SIGINT');
  const { code, stdout, stderr } = await result;
  expect(code).toBe(0);
  expect(stdout).toContain('http://127.0.0.1:3000');
  const token = (await readFile(path.join(folder.path, 'data/admin-token'), 'utf8')).trim();
  expect(stdout + stderr).not.toContain(token);
  expect(stderr).toContain('started {"api":true,"worker":true}');
  expect(stderr.indexOf('closed')).toBeGreaterThan(stderr.indexOf('Stopping.'));
});

test('a second Ctrl-C ends it at once', async () => {
  const { child, result, said } = start(['serve'], options({ CLOSING_TAKES: '30000' }));
  await said('admin-token');
  child.kill('SIGINT');
  await said('Stopping.');
  await sleep(700);
  child.kill('SIGINT');
  const { code, stderr } = await result;
  expect(code).toBe(130);
  expect(stderr).not.toContain('closed');
});

test('worker runs the tasks of a pool and serves nothing', async () => {
  const { child, result, said } = start(['worker', '--pool', 'far', '--json'], options());
  await said('"pool"');
  await said('garbage collected');
  child.kill('SIGTERM');
  const { code, stdout, stderr } = await result;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ pool: 'far' });
  expect(stderr).toContain('started {"api":false,"worker":true,"pool":"far"}');
});

test('serve without worker leaves the tasks to others', async () => {
  const { child, result, said } = start(['serve', '--no-worker'], options());
  await said('admin-token');
  child.kill('SIGTERM');
  expect((await result).stderr).toContain('started {"api":true,"worker":false}');
});

test('migrate names what it applied', async () => {
  expect(await run(['migrate'], options())).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('0001-main-job'),
  });
});

test('doctor works without a running site, which it only warns of', async () => {
  const result = await run(['doctor'], options());
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('ok    database: embedded') });
  expect(result.stdout).toMatch(/warn {2}API: nothing answers.*\n.*forestay serve/);
});

test('doctor asks the running site, and whether it takes the token', async () => {
  await using site = await startFakeSite();
  const good = await run(['doctor', '--json'], { ...options(), site });
  expect(good.code).toBe(0);
  expect(JSON.parse(good.stdout)).toContainEqual({ what: 'token', state: 'ok', detail: 'the site takes it' });
  const bad = await run(['doctor'], { ...options(), site: { ...site, url: site.url, token: 'wrong' } });
  expect(bad).toMatchObject({ code: 1, stdout: expect.stringContaining('FAIL  token') });
});

test('doctor passes on what a site that is not ready waits for', async () => {
  await using site = await startFakeSite();
  site.on('GET /readyz', (_request, response) => {
    response.statusCode = 503;
    return { status: 'not ready', reasons: ['The primary store does not answer.'] };
  });
  const result = await run(['doctor'], { ...options(), site });
  expect(result).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('FAIL  API is ready: The primary store'),
  });
});

test('doctor ends with 1 where something fails, and says what to do', async () => {
  const broken = await run(['doctor'], options({ BROKEN: 'yes' }));
  expect(broken).toMatchObject({ code: 1, stdout: expect.stringContaining('-> Make room.') });
  const misspelt = await run(['doctor'], options({ FORESTAY_STOER: 'x' }));
  expect(misspelt).toMatchObject({ code: 1, stdout: expect.stringContaining('FORESTAY_STOER') });
});

test('a wrong setting stops the start with a sentence', async () => {
  const result = await run(['serve'], options({ FORESTAY_LISTEN: 'nowhere' }));
  expect(result).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(/^error: FORESTAY_LISTEN is "nowhere"\.\nhint: /),
  });
});

test('catalog rebuild tells what it found, what needs a connection and what was left out', async () => {
  const result = await run(['catalog', 'rebuild', '--site', 'lost-site'], options());
  expect(result.code).toBe(0);
  for (const part of ['lost-site', 'no copy of the state', 'a-guid', 'x/manifest.json', 'It is damaged.'])
    expect(result.stdout).toContain(part);
  const json = await run(['catalog', 'rebuild', '--json'], options());
  expect(JSON.parse(json.stdout)).toMatchObject({ siteId: 'a-site', backups: 1 });
});

test('catalog check ends with 1 where stores and database differ, and lists where', async () => {
  expect(await run(['catalog', 'check'], options())).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('2 backups and copies checked, 0 discrepancies'),
  });
  expect(await run(['catalog', 'check', '--read'], options({ BROKEN: 'yes' }))).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('missing: x/data in file:/backups. Backup 1 is done.'),
    stderr: expect.stringContaining('differ in 1 places'),
  });
});
