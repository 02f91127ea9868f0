import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { backupEnds } from '../support/test-site.ts';
import { adminToken, type HttpSite, makeHttpSite } from './site.ts';

/** Promise 8: no secret leaves. Secrets are planted wherever one can be sent, and looked for in all answers and logs. */

let http: HttpSite;
beforeAll(async () => {
  http = await makeHttpSite();
});
afterAll(() => http[Symbol.asyncDispose]());

const secrets = {
  password: 'planted-password-of-a-database',
  key: 'planted-encryption-key',
  wrongKey: 'planted-wrong-encryption-key',
  wrongToken: 'planted-wrong-token',
  query: 'planted-in-a-query',
  adminToken,
};

test('promise 8: none of the planted secrets is in an answer or in a log', async () => {
  const file = `${http.site.folder}/planted`;
  await writeFile(file, 'data');
  const heard: string[] = [];
  const call = async (
    method: 'GET' | 'POST' | 'PATCH',
    url: string,
    payload?: object,
    token = adminToken,
  ) => {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await http.server.inject({ method, url, headers, ...(payload && { payload }) });
    heard.push(`${JSON.stringify(answer.headers)} ${answer.body}`);
    return answer;
  };
  const connection = { file, password: secrets.password };
  const { instance_id: guid } = (
    await call('POST', '/v1/instances', { name: 'x', engine: 'fake', connection })
  ).json();
  const base = `/v1/instances/${guid}`;
  await call('POST', '/v1/instances', {
    name: 'x',
    engine: 'fake',
    connection: { file: 5, password: secrets.password },
  });
  await call('POST', '/v1/instances', { name: 'x', engine: 'fake', connection: secrets.password });
  await call('PATCH', base, { connection: { file: '/nowhere', password: secrets.password } });
  await call('PATCH', `${base}/backup-config`, { encryption_key: secrets.key });
  await call('PATCH', `${base}/backup-config`, { encryption_key: [secrets.key] });
  await call('PATCH', `${base}/backup-config`, { encryption_key: `${secrets.key}\n` });
  const prepared = (
    await call('POST', `${base}/disaster-recovery/prepare`, { encryption_key: secrets.key })
  ).json();
  await http.site.startWorker();
  const { id } = await requestBackup(http.site.context, guid);
  await backupEnds(http.site.context, id);
  const perform = { backup_guid: prepared.backup_guid, encryption_key: secrets.wrongKey };
  expect((await call('POST', `${base}/disaster-recovery/perform`, perform)).statusCode).toBe(403);
  await call('POST', `${base}/disaster-recovery/perform`, {
    backup_guid: secrets.wrongKey,
    encryption_key: secrets.key,
  });
  await call('GET', '/v1/instances', undefined, secrets.wrongToken);
  await call('GET', `/v1/instances?token=${secrets.query}`, undefined);
  await call('GET', `/v1/instances?limit=${secrets.query}`, undefined);
  await call('GET', `${base}/backups/${id}/download`);
  const made = await http.server.inject({
    method: 'POST',
    url: '/v1/tokens',
    headers: { authorization: `Bearer ${adminToken}`, 'idempotency-key': 'planted' },
    payload: { name: 'planted', operator: true },
  });
  const { secret } = made.json();
  const opened = await http.server.inject({
    url: `/service-instances/${guid}`,
    headers: { authorization: `Bearer ${secret}` },
  });
  const session = /forestay_session=([^;]+)/.exec(String(opened.headers['set-cookie']))![1]!;
  await http.server.inject({ url: '/v1/instances', headers: { cookie: `forestay_session=${session}` } });
  for (const url of [
    '/v1/instances',
    base,
    `${base}/backup-config`,
    `${base}/backups`,
    '/v1/tokens',
    '/v1/engines',
    '/openapi.json',
  ]) {
    await call('GET', url);
  }
  // A failure of ours, with secrets in what the driver says of it.
  const { engine } = http.site;
  const probe = engine.probe;
  engine.probe = async () => {
    throw Object.assign(new Error('the driver failed'), {
      parameters: [secrets.password],
      query: secrets.password,
    });
  };
  expect((await call('PATCH', base, { connection })).statusCode).toBe(500);
  engine.probe = probe;

  const logs = [...http.requestLog, ...http.site.logLines].join('\n');
  expect(http.requestLog.length).toBeGreaterThan(20);
  expect(logs).toContain('the driver failed');
  for (const [name, value] of Object.entries({ ...secrets, secret, session })) {
    expect([name, logs.includes(value)]).toEqual([name, false]);
    // A wrong limit is named, not repeated; so is everything else.
    expect([name, heard.filter((text) => text.includes(value))]).toEqual([name, []]);
  }
});

test('the log has one line a request, with the id that the answer has', async () => {
  http.requestLog.length = 0;
  const given = await http.server.inject({
    url: '/v1/engines',
    headers: { 'x-request-id': 'from-a.proxy_1' },
  });
  const odd = await http.server.inject({ url: '/v1/engines', headers: { 'x-request-id': 'two words' } });
  expect(given.headers['x-request-id']).toBe('from-a.proxy_1');
  expect(odd.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  const lines = http.requestLog.map((line) => JSON.parse(line));
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatchObject({
    request_id: 'from-a.proxy_1',
    method: 'GET',
    path: '/v1/engines',
    status: 401,
  });
  expect(lines[1].request_id).toBe(odd.headers['x-request-id']);
});
