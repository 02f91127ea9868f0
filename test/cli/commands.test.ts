import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  backup,
  backupGuid,
  type FakeSite,
  guid,
  instance,
  listedToken,
  plan,
  restore,
  startFakeSite,
  tokenSecret,
} from './fake-site.ts';
import { run, temporaryFolder } from './run.ts';

let site: FakeSite;
beforeAll(async () => {
  site = await startFakeSite();
});
afterAll(() => site[Symbol.asyncDispose]());

const paths = `/v1/instances/${guid}`;
const connection = '{"host":"db.example.org","password":"hunter2hunter2"}';

interface Case {
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly says: string;
  readonly json: unknown;
  readonly call: string;
  readonly body?: unknown;
}

const cases: readonly Case[] = [
  { args: ['instance', 'list'], says: 'orders', json: [instance], call: 'GET /v1/instances' },
  { args: ['instance', 'show', guid], says: 'at least 5', json: instance, call: `GET ${paths}` },
  {
    args: [
      'instance',
      'add',
      '--engine',
      'postgresql',
      '--name',
      'orders',
      '--pool',
      'far',
      '--instance-id',
      guid,
    ],
    stdin: connection,
    says: 'warning: The server has no TLS.',
    json: { ...instance, engine_version: '15.18', warnings: ['The server has no TLS.'] },
    call: 'POST /v1/instances',
    body: {
      name: 'orders',
      engine: 'postgresql',
      connection: JSON.parse(connection),
      pool: 'far',
      instance_id: guid,
    },
  },
  {
    args: ['instance', 'remove', 'orders'],
    says: 'no longer in care',
    json: { message: 'gone' },
    call: `DELETE ${paths}`,
  },
  {
    args: ['backup', 'create', 'orders'],
    says: 'forestay backup show orders 7',
    json: { id: 7, message: 'queued' },
    call: `POST ${paths}/backups`,
  },
  { args: ['backup', 'list', 'orders'], says: '2.0 KiB', json: [backup], call: `GET ${paths}/backups` },
  { args: ['backup', 'show', guid, '7'], says: '2048 bytes', json: backup, call: `GET ${paths}/backups/7` },
  {
    args: ['backup', 'delete', guid, '7'],
    says: 'is removed',
    json: { message: 'removed' },
    call: `DELETE ${paths}/backups/7`,
  },
  {
    args: ['backup', 'cancel', guid, '7'],
    says: 'is being canceled',
    json: { message: 'canceled' },
    call: `POST ${paths}/backups/7/cancel`,
  },
  {
    args: ['restore', 'start', guid, '7'],
    says: 'Restore 3 is queued',
    json: { id: 3, restore_id: 3 },
    call: `POST ${paths}/backups/7/restore`,
  },
  {
    args: ['restore', 'list', guid],
    says: '2026-02-01 12:00:00 UTC',
    json: [restore],
    call: `GET ${paths}/restores`,
  },
  {
    args: ['restore', 'show', guid, '3'],
    says: 'The role reporting does not exist',
    json: restore,
    call: `GET ${paths}/restores/3`,
  },
  {
    args: ['restore', 'start', guid, '7', '--dry-run'],
    says: '1 to add, 1 to change, 0 to remove. Nothing was changed.',
    json: plan,
    call: `GET ${paths}/backups/7/restore-plan`,
  },
  {
    args: ['restore', 'undo', guid, '3'],
    says: 'is undone',
    json: { message: 'undone' },
    call: `POST ${paths}/restores/3/undo`,
  },
  {
    args: ['restore', 'cancel', guid, '3'],
    says: 'is being canceled',
    json: { message: 'canceled' },
    call: `POST ${paths}/restores/3/cancel`,
  },
  {
    args: ['dr', 'prepare', guid],
    says: backupGuid,
    json: { backup_guid: backupGuid },
    call: `POST ${paths}/disaster-recovery/prepare`,
    body: {},
  },
  {
    args: ['dr', 'perform', guid, backupGuid],
    stdin: 'correct horse battery\n',
    says: 'Restore 3 is queued',
    json: { restore_id: 3 },
    call: `POST ${paths}/disaster-recovery/perform`,
    body: { backup_guid: backupGuid, encryption_key: 'correct horse battery' },
  },
  { args: ['token', 'list'], says: `view ${guid}`, json: [listedToken], call: 'GET /v1/tokens' },
  {
    args: ['token', 'create', '--name', 'ci', '--instance', `${guid}:view`],
    says: tokenSecret,
    json: { ...listedToken, secret: tokenSecret },
    call: 'POST /v1/tokens',
    body: { name: 'ci', operator: false, instances: [{ instance_id: guid, right: 'view' }] },
  },
  {
    args: ['token', 'revoke', '4'],
    says: 'is revoked',
    json: { message: 'revoked' },
    call: 'DELETE /v1/tokens/4',
  },
];

describe.concurrent('every command of the client', () => {
  for (const { args, stdin, says, json, call, body } of cases) {
    const options = () => ({ site, ...(stdin !== undefined && { stdin }) });

    test(`forestay ${args.slice(0, 2).join(' ')} tells people what they want to know`, async () => {
      const result = await run(args, options());
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining(says) });
      const request = site.requests.findLast((one) => one.call === call);
      expect(request).toBeDefined();
      if (body !== undefined) expect(request?.body).toEqual(body);
    });

    test(`forestay ${args.slice(0, 2).join(' ')} --json prints what the API answered and nothing else`, async () => {
      const result = await run([...args, '--json'], options());
      expect(result).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(result.stdout)).toEqual(json);
    });
  }
});

test('requests that create something carry an idempotency key of their own', async () => {
  await run(['backup', 'create', guid], { site });
  await run(['backup', 'create', guid], { site });
  const keys = site.requests
    .filter((request) => request.call === `POST ${paths}/backups`)
    .map((request) => request.headers['idempotency-key']);
  expect(keys.every((key) => typeof key === 'string' && key.length > 20)).toBe(true);
  expect(new Set(keys).size).toBe(keys.length);
});

test('a .env file and a token file say whom to talk to', async () => {
  await using folder = await temporaryFolder();
  await writeFile(path.join(folder.path, '.env'), `FORESTAY_URL=${site.url}\n`);
  await writeFile(path.join(folder.path, 'token'), `${site.token}\n`);
  const result = await run(['--token-file', 'token', 'instance', 'list'], { cwd: folder.path });
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining(guid) });
});

test('without settings the site of this machine is asked with its admin token, which no other site is shown', async () => {
  await using folder = await temporaryFolder();
  await writeFile(path.join(folder.path, 'admin-token'), `${site.token}\n`);
  const env = { FORESTAY_DATA_DIR: folder.path, FORESTAY_LISTEN: new URL(site.url).host };
  expect(await run(['instance', 'list'], { env })).toMatchObject({ code: 0 });
  const asked = site.requests.length;
  const elsewhere = await run(['instance', 'list', '--url', site.url], { env });
  expect(elsewhere).toMatchObject({ code: 4, stderr: expect.stringContaining('FORESTAY_TOKEN') });
  expect(site.requests.length).toBe(asked);
});

test('what an instance name makes of a terminal is nothing', async () => {
  await using other = await startFakeSite();
  other.on('GET /v1/instances', () => [{ ...instance, name: 'evil\u001b[2Jname' }]);
  const result = await run(['instance', 'list'], { site: other });
  expect(result.stdout).not.toContain('\u001b');
});
