import { afterEach, beforeEach, expect, test } from 'vitest';
import type { BackupBody } from '../../src/http/v1/backups.ts';
import { backup, backupGuid, type FakeSite, fail, guid, restore, startFakeSite } from './fake-site.ts';
import { run, runInTerminal, start } from './run.ts';

const paths = `/v1/instances/${guid}`;
const running: BackupBody = {
  ...backup,
  status: 'running',
  size: 0,
  sha256: null,
  progress: { phase: 'transferring', bytes: 5 * 1024 * 1024, updated_at: backup.finished_at },
};
const failed: BackupBody = {
  ...backup,
  status: 'failed',
  error: { code: 'InstanceRefused', message: 'The password is wrong.', hint: 'Change the connection.' },
};

let site: FakeSite;
beforeEach(async () => {
  site = await startFakeSite();
});
afterEach(() => site[Symbol.asyncDispose]());

function answerInTurn(call: string, ...answers: readonly object[]): void {
  let turn = 0;
  site.on(call, () => answers[Math.min(turn++, answers.length - 1)]);
}

test('--wait says in lines how a backup is going, and ends with the backup', async () => {
  answerInTurn(`GET ${paths}/backups/7`, { ...running, status: 'queued', progress: null }, running, backup);
  const result = await run(['backup', 'create', guid, '--wait'], { site });
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('sha256') });
  expect(result.stderr.split('\n').slice(0, 3)).toEqual([
    'Backup 7: queued',
    'Backup 7: transferring, 5.0 MiB',
    'Backup 7: done',
  ]);
});

test('--wait shows a bar at a terminal and gives the cursor back', async () => {
  answerInTurn(`GET ${paths}/backups/7`, running, running, running, backup);
  const { code, screen } = await runInTerminal(['backup', 'create', guid, '--wait'], [], { site });
  expect(code).toBe(0);
  expect(screen).toContain('transferring, 5.0 MiB');
  expect(screen.lastIndexOf('\u001b[?25h')).toBeGreaterThan(screen.lastIndexOf('\u001b[?25l'));
});

test('with --json nothing but the finished backup, or its error, is printed', async () => {
  answerInTurn(`GET ${paths}/backups/7`, running, backup);
  const good = await run(['backup', 'create', guid, '--wait', '--json'], { site });
  expect(good).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(good.stdout)).toEqual(backup);
  answerInTurn(`GET ${paths}/backups/7`, failed);
  const bad = await run(['backup', 'create', guid, '--wait', '--json'], { site });
  expect(JSON.parse(bad.stdout)).toEqual(failed);
  expect(JSON.parse(bad.stderr)).toMatchObject({
    error: 'InstanceRefused',
    hint: 'Change the connection.',
    exit_code: 7,
  });
});

test('a task that fails ends with 7, its error and its hint', async () => {
  answerInTurn(`GET ${paths}/backups/7`, running, failed);
  const result = await run(['backup', 'create', guid, '--wait'], { site });
  expect(result.code).toBe(7);
  expect(result.stderr).toContain(
    'error: Backup 7 failed: The password is wrong.\nhint: Change the connection.\n',
  );
});

test('restores of both kinds wait too, and tell what was not kept', async () => {
  for (const args of [
    ['restore', 'start', guid, '7', '--wait'],
    ['dr', 'perform', guid, backupGuid, '--wait'],
  ]) {
    answerInTurn(`GET ${paths}/restores/3`, { ...restore, status: 'running' }, restore);
    const result = await run(args, { site, stdin: 'some key' });
    expect(result).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('The role reporting does not exist'),
    });
    expect(result.stdout).toContain('staged');
  }
});

test('Ctrl-C leaves the task running and says so', async () => {
  answerInTurn(`GET ${paths}/backups/7`, running);
  const { child, result, said } = start(['backup', 'create', guid, '--wait'], { site });
  await said('transferring');
  child.kill('SIGINT');
  const { code, stdout, stderr } = await result;
  expect(code).toBe(130);
  expect(stdout).toBe('');
  expect(stderr).toContain('goes on without this command');
  expect(stderr).toContain(`forestay backup show ${guid} 7`);
  expect(site.requests.some((request) => request.call.endsWith('cancel'))).toBe(false);
});

test('a site that is away for a moment does not end the waiting', async () => {
  let turn = 0;
  site.on(`GET ${paths}/backups/7`, (_request, response) => {
    turn++;
    if (turn === 2) return fail(response, 503, 'Unavailable', 'The site is starting.');
    if (turn === 3) return void response.destroy();
    return turn < 5 ? running : backup;
  });
  const result = await run(['backup', 'create', guid, '--wait'], { site });
  expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('does not answer') });
});

test('a backup that vanishes while being waited for ends with 3', async () => {
  let turn = 0;
  site.on(`GET ${paths}/backups/7`, (_request, response) =>
    turn++ === 0 ? running : fail(response, 404, 'BackupNotFound', 'There is no backup 7.'),
  );
  expect(await run(['backup', 'create', guid, '--wait'], { site })).toMatchObject({ code: 3 });
});
