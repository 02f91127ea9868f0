import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { onlyOnce } from '../../src/operations/only-once.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

async function onServer(statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

describe.each(['embedded', 'server'])('Idempotency-Key (%s database)', (kind) => {
  const name = `forestay_${randomUUID().replaceAll('-', '')}`;
  let http: HttpSite;
  let guid: string;
  beforeAll(async () => {
    if (kind === 'server') await onServer(`create database ${name}`);
    const databaseUrl = new URL(inject('postgresUrl'));
    databaseUrl.pathname = `/${name}`;
    http = await makeHttpSite(kind === 'server' ? { databaseUrl: databaseUrl.href } : {});
    ({ guid } = await http.site.addInstance());
  });
  afterAll(async () => {
    await http[Symbol.asyncDispose]();
    if (kind === 'server') await onServer(`drop database ${name}`);
  });

  const post = (
    url: string,
    key: string | undefined,
    payload: object = {},
    headers: Record<string, string> = asAdmin,
  ) =>
    http.server.inject({
      method: 'POST',
      url,
      headers: { ...headers, ...(key !== undefined && { 'idempotency-key': key }) },
      payload,
    });
  const backups = async () =>
    (await http.site.context.db.selectFrom('backups').select('id').execute()).length;

  test('the same key and body is answered as before, also when sent many times at once', async () => {
    const before = await backups();
    const url = `/v1/instances/${guid}/backups`;
    const answers = await Promise.all(Array.from({ length: 10 }, () => post(url, 'key-1')));
    answers.push(await post(url, 'key-1', {}));
    for (const answer of answers) expect([answer.statusCode, answer.body]).toEqual([201, answers[0]!.body]);
    expect(await backups()).toBe(before + 1);
    await post(url, 'key-2');
    await post(url, undefined);
    await post(url, undefined);
    expect(await backups()).toBe(before + 4);
  });

  test('the same key with another body is refused', async () => {
    const first = { name: 'one', operator: false };
    const made = await post('/v1/tokens', 'token-key', first);
    expect(made.statusCode).toBe(201);
    expect((await post('/v1/tokens', 'token-key', { operator: false, name: 'one' })).json()).toEqual(
      made.json(),
    );
    const other = await post('/v1/tokens', 'token-key', { name: 'two' });
    expect([other.statusCode, other.json().error]).toEqual([422, 'IdempotencyKeyReused']);
  });

  test('what is kept of an answer does not show the secret in it', async () => {
    const made = (await post('/v1/tokens', 'sealed', { name: 'sealed' })).json();
    const rows = await http.site.context.db.selectFrom('idempotent_requests').selectAll().execute();
    const text = rows.map((row) => Buffer.from(row.answer_sealed!).toString('latin1')).join();
    expect(rows.length).toBeGreaterThan(0);
    expect(text).not.toContain(made.secret);
  });

  test('a key means nothing to another caller, or at another address', async () => {
    const manager = await http.tokenFor('manage', guid);
    const other = await http.site.addInstance();
    const ids = [
      await post(`/v1/instances/${guid}/backups`, 'shared'),
      await post(`/v1/instances/${guid}/backups`, 'shared', {}, manager),
      await post(`/v1/instances/${other.guid}/backups`, 'shared'),
    ].map((answer) => answer.json().id);
    expect(new Set(ids).size).toBe(3);
  });

  test('a request that failed may be made again under its key', async () => {
    const url = '/v1/instances';
    const payload = { name: 'later', engine: 'fake', connection: { file: `${http.site.folder}/later` } };
    expect((await post(url, 'register', payload)).statusCode).toBe(422);
    await writeFile(`${http.site.folder}/later`, 'here now');
    const made = await post(url, 'register', payload);
    expect(made.statusCode).toBe(201);
    expect((await post(url, 'register', payload)).json()).toEqual(made.json());
  });

  test('a crash between the work and its answer leaves neither, and does not block the key', async () => {
    const before = await backups();
    const request = { scope: 'test', key: 'crash', requestHash: Buffer.alloc(32) };
    const crash = onlyOnce(http.site.context, request, async (context) => {
      await requestBackup(context, guid);
      throw new Error('the process died here');
    });
    await expect(crash).rejects.toThrow('died');
    expect(await backups()).toBe(before);
    const again = await onlyOnce(http.site.context, request, (context) => requestBackup(context, guid));
    expect(await onlyOnce(http.site.context, request, async () => ({ id: -1 }))).toEqual(again);
    expect(await backups()).toBe(before + 1);
  });

  test('after a day a key is forgotten', async () => {
    const url = `/v1/instances/${guid}/backups`;
    const first = (await post(url, 'old')).json();
    const dayAgo = new Date(Date.now() - 25 * 3600_000);
    await http.site.context.db
      .updateTable('idempotent_requests')
      .set({ created_at: dayAgo } as object)
      .execute();
    expect((await post(url, 'old')).json().id).not.toBe(first.id);
  });

  test.each(['', 'two words', 'ä'.repeat(3), 'x'.repeat(256)])(
    'a key that is none is refused: %j',
    async (key) => {
      const answer = await post(`/v1/instances/${guid}/backups`, key);
      expect([answer.statusCode, answer.json().error]).toEqual([400, 'BadRequest']);
    },
  );
});
