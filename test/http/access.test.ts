import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { permissions } from '../../src/auth/permissions.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

let http: HttpSite;
let guid: string;
const missing = randomUUID();
type Headers = Record<string, string>;
const callers = new Map<string, Headers>();

beforeAll(async () => {
  http = await makeHttpSite({ publicUrl: 'https://forestay.example.org' });
  ({ guid } = await http.site.addInstance());
  await requestBackup(http.site.context, guid);
  callers.set('nobody', {});
  callers.set('view', await http.tokenFor('view', guid));
  callers.set('manage', await http.tokenFor('manage', guid));
  callers.set('stranger', await http.tokenFor('manage', randomUUID()));
  callers.set('operator', await http.operatorToken());
  callers.set('admin', asAdmin);
});
afterAll(() => http[Symbol.asyncDispose]());
beforeEach(() => http.site.context.db.deleteFrom('failed_attempts').execute());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const call = (method: Method, url: string, headers: Headers, payload?: object) =>
  http.server.inject({ method, url, headers, ...(payload && { payload }) });

/** Every route by the action it says it does, with a body that changes nothing. */
const routes: [keyof typeof permissions, Method, string][] = [
  ['engine.list', 'GET', '/v1/engines'],
  ['instance.list', 'GET', '/v1/instances'],
  ['instance.register', 'POST', '/v1/instances'],
  ['instance.view', 'GET', '/v1/instances/:guid'],
  ['instance.view', 'GET', '/service-instances/:guid'],
  ['instance.change', 'PATCH', '/v1/instances/:guid'],
  ['backup.view', 'GET', '/v1/instances/:guid/backups'],
  ['backup.view', 'GET', '/v1/instances/:guid/backups/1'],
  ['backup.view', 'GET', '/v1/instances/:guid/recovery-points'],
  ['metrics.view', 'GET', '/metrics'],
  ['backup.view', 'GET', '/service-instances/:guid/backups'],
  ['backup.delete', 'DELETE', '/v1/instances/:guid/backups/999'],
  ['backup.cancel', 'POST', '/v1/instances/:guid/backups/999/cancel'],
  ['backup.download', 'GET', '/v1/instances/:guid/backups/999/download'],
  ['backup.download', 'GET', '/service-instances/:guid/backups/999/download'],
  ['backup.download', 'POST', '/service-instances/:guid/backups/999/download'],
  ['backup.restore', 'POST', '/v1/instances/:guid/backups/999/restore'],
  ['backup.restore', 'POST', '/service-instances/:guid/backups/restore'],
  ['restore.view', 'GET', '/v1/instances/:guid/restores'],
  ['restore.view', 'GET', '/v1/instances/:guid/restores/999'],
  ['restore.cancel', 'POST', '/v1/instances/:guid/restores/999/cancel'],
  ['restore.undo', 'POST', '/v1/instances/:guid/restores/999/undo'],
  ['restore.plan', 'GET', '/v1/instances/:guid/backups/999/restore-plan'],
  ['config.view', 'GET', '/v1/instances/:guid/backup-config'],
  ['config.change', 'PATCH', '/v1/instances/:guid/backup-config'],
  ['recovery.prepare', 'POST', '/v1/instances/:guid/disaster-recovery/prepare'],
  ['recovery.perform', 'POST', '/v1/instances/:guid/disaster-recovery/perform'],
  ['backup.create', 'POST', '/v1/instances/:guid/backups'],
  ['backup.create', 'POST', '/service-instances/:guid/backups'],
  ['token.list', 'GET', '/v1/tokens'],
  ['token.create', 'POST', '/v1/tokens'],
  ['token.revoke', 'DELETE', '/v1/tokens/999'],
  ['instance.delete', 'DELETE', '/v1/instances/:guid'],
];
const allowed: Record<string, string[]> = {
  caller: ['view', 'manage', 'stranger', 'operator', 'admin'],
  view: ['view', 'manage', 'operator', 'admin'],
  manage: ['manage', 'operator', 'admin'],
  operator: ['operator', 'admin'],
};

describe('the table of permissions', () => {
  test('has a route for every action', () => {
    expect(new Set(routes.map(([action]) => action)).add('service.look')).toEqual(
      new Set(Object.keys(permissions)),
    );
  });

  test.each(routes)('%s: %s %s', async (action, method, url) => {
    const statuses: Record<string, number> = {};
    for (const [name, headers] of callers) {
      statuses[name] = (await call(method, url.replace(':guid', guid), headers)).statusCode;
    }
    for (const [name, status] of Object.entries(statuses)) {
      const expected =
        name === 'nobody' ? 401 : allowed[permissions[action]]!.includes(name) ? 'let through' : 403;
      expect([name, status === 401 || status === 403 ? status : 'let through']).toEqual([name, expected]);
    }
  });

  test.each(routes.filter(([, , url]) => url.includes(':guid')))(
    'trap 4, %s: %s %s does not tell strangers whether an instance exists, and tells operators',
    async (_action, method, url) => {
      const stranger = callers.get('stranger')!;
      const there = await call(method, url.replace(':guid', guid), stranger);
      const absent = await call(method, url.replace(':guid', missing), stranger);
      const none = await call(method, url.replace(':guid', 'no-guid'), stranger);
      expect([there.statusCode, absent.statusCode, none.statusCode]).toEqual([403, 403, 403]);
      expect([absent.body, none.body]).toEqual([there.body, there.body]);
      for (const guidLike of [missing, 'no-guid', '%00']) {
        const payload = { backup_guid: missing, encryption_key: 'long enough' };
        const answer = await call(
          method,
          url.replace(':guid', guidLike),
          asAdmin,
          method === 'GET' ? undefined : payload,
        );
        expect(answer.statusCode).toBe(404);
      }
    },
  );
});

describe('credentials', () => {
  test('a token lists only the instances it has rights on', async () => {
    await http.site.addInstance();
    const guids = async (name: string) =>
      (await call('GET', '/v1/instances', callers.get(name)!)).json().length;
    expect([await guids('view'), await guids('stranger'), await guids('admin')]).toEqual([1, 0, 2]);
  });

  test('a revoked token is refused at once, and its sessions with it', async () => {
    const { guid } = await http.site.addInstance();
    const made = await call('POST', '/v1/tokens', asAdmin, {
      name: 'x',
      instances: [{ instance_id: guid, right: 'view' }],
    });
    const { id, secret } = made.json();
    expect(secret).toMatch(/^forestay_[\w-]{43}$/);
    const headers = { authorization: `BEARER ${secret}` };
    const opened = await call('GET', `/service-instances/${guid}`, headers);
    const cookie = opened.headers['set-cookie'] as string;
    expect(cookie).toMatch(
      /^forestay_session=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    );
    const withCookie = { cookie: cookie.split(';')[0]! };
    expect((await call('GET', `/v1/instances/${guid}`, withCookie)).statusCode).toBe(200);
    const listed = (await call('GET', '/v1/tokens', asAdmin)).json()[0];
    expect(listed).toMatchObject({ id, name: 'x', operator: false, last_used_at: expect.any(String) });
    expect(JSON.stringify(listed)).not.toContain(secret);

    expect((await call('DELETE', `/v1/tokens/${id}`, asAdmin)).statusCode).toBe(200);
    expect((await call('DELETE', `/v1/tokens/${id}`, asAdmin)).statusCode).toBe(404);
    expect((await call('GET', `/v1/instances/${guid}`, headers)).statusCode).toBe(401);
    expect((await call('GET', `/v1/instances/${guid}`, withCookie)).statusCode).toBe(401);
  });

  test('a session ends after twelve hours, and neither it nor a token lies readable in the database', async () => {
    const opened = await call('GET', `/service-instances/${guid}`, callers.get('view')!);
    const secret = /forestay_session=([^;]+)/.exec(opened.headers['set-cookie'] as string)![1]!;
    const { db } = http.site.context;
    const rows = [
      await db.selectFrom('sessions').selectAll().execute(),
      await db.selectFrom('tokens').selectAll().execute(),
    ];
    expect(JSON.stringify(rows)).not.toContain(secret);
    const cookie = { cookie: `forestay_session=${secret}` };
    expect((await call('GET', `/v1/instances/${guid}`, cookie)).statusCode).toBe(200);
    const [session] = await db
      .selectFrom('sessions')
      .select('expires_at')
      .orderBy('expires_at', 'desc')
      .execute();
    expect(session!.expires_at.getTime() - Date.now()).toBeLessThanOrEqual(12 * 3600_000);
    await db.updateTable('sessions').set({ expires_at: new Date() }).execute();
    expect((await call('GET', `/v1/instances/${guid}`, cookie)).statusCode).toBe(401);
  });

  test('a wrong bearer is refused although the cookie is good', async () => {
    const opened = await call('GET', `/service-instances/${guid}`, asAdmin);
    const cookie = (opened.headers['set-cookie'] as string).split(';')[0]!;
    expect((await call('GET', '/v1/instances', { cookie })).statusCode).toBe(200);
    expect((await call('GET', '/v1/instances', { cookie, authorization: 'Bearer wrong' })).statusCode).toBe(
      401,
    );
  });

  test('pages of other sites cannot use the cookie to change something', async () => {
    const opened = await call('GET', `/service-instances/${guid}`, asAdmin);
    const cookie = (opened.headers['set-cookie'] as string).split(';')[0]!;
    const post = async (headers: Headers) =>
      (await call('POST', `/v1/instances/${guid}/disaster-recovery/prepare`, { cookie, ...headers }))
        .statusCode;
    expect(await post({ origin: 'https://evil.example.org' })).toBe(403);
    expect(await post({ origin: 'null' })).toBe(403);
    expect(await post({ 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await post({ 'sec-fetch-site': 'same-site', origin: 'https://other.example.org' })).toBe(403);
    const own = await post({ 'sec-fetch-site': 'same-origin', origin: 'https://forestay.example.org' });
    // The instance was deleted by an earlier test: what matters is that the request got that far.
    expect([200, 404]).toContain(own);
    expect(await post({ ...asAdmin, origin: 'https://evil.example.org' })).toBe(own);
  });

  test('a browser without a session gets a page, with one a page that names the instance', async () => {
    const html = { accept: 'text/html,application/xhtml+xml' };
    const refused = await call('GET', `/service-instances/${guid}`, html);
    expect([refused.statusCode, refused.headers['content-type']]).toEqual([401, 'text/html; charset=utf-8']);
    expect(refused.body).toContain('<!doctype html>');
    await http.site.context.db
      .updateTable('instances')
      .set({ name: '<script>&"' })
      .where('guid', '=', guid)
      .execute();
    const page = await call('GET', `/service-instances/${guid}`, { ...html, ...asAdmin });
    expect(page.statusCode).toBe(200);
    expect(page.body).toContain('&#60;script&#62;&#38;&#34;');
    expect(page.body).not.toContain('<script');
    expect(page.headers['content-security-policy']).toContain("default-src 'self'");
    expect((await call('GET', `/service-instances/${guid}`, asAdmin)).json()).toMatchObject({
      instance_id: guid,
    });
  });

  test('twenty wrong credentials a minute are refused, more are turned away, and what is valid goes on working', async () => {
    const wrong = { authorization: 'Bearer forestay_wrong' };
    const statuses: number[] = [];
    for (let tries = 0; tries < 22; tries++)
      statuses.push((await call('GET', '/v1/instances', wrong)).statusCode);
    expect(statuses).toEqual([...Array(20).fill(401), 429, 429]);
    const last = await call('GET', '/v1/instances', wrong);
    expect(Number(last.headers['retry-after'])).toBeGreaterThan(0);
    expect((await call('GET', '/v1/instances', asAdmin)).statusCode).toBe(200);
    const elsewhere = await http.server.inject({
      url: '/v1/instances',
      headers: wrong,
      remoteAddress: '192.0.2.7',
    });
    expect(elsewhere.statusCode).toBe(401);
    // Nobody is turned away for what somebody else writes into a header.
    const forwarded = await call('GET', '/v1/instances', { ...wrong, 'x-forwarded-for': '192.0.2.8' });
    expect(forwarded.statusCode).toBe(429);
  });
});
