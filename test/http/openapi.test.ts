import { Check } from 'typebox/schema';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { statusOf } from '../../src/http/errors.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { requestRestore } from '../../src/operations/request-restore.ts';
import { setKey } from '../../src/operations/set-key.ts';
import { backupEnds, restoreEnds } from '../support/test-site.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

interface Document {
  openapi: string;
  info: { title: string; version: string };
  servers: { url: string }[];
  paths: Record<
    string,
    Record<
      string,
      {
        operationId?: string;
        summary?: string;
        responses: Record<string, { description?: string; content?: object }>;
      }
    >
  >;
  components: { schemas: Record<string, object> };
}

let http: HttpSite;
let document: Document;
let guid: string;
beforeAll(async () => {
  http = await makeHttpSite({ publicUrl: 'https://forestay.example.org/base' });
  await http.site.startWorker();
  ({ guid } = await http.site.addInstance());
  await setKey(http.site.context, guid, 'a key for documents');
  const { id } = await requestBackup(http.site.context, guid);
  await backupEnds(http.site.context, id);
  await restoreEnds(http.site.context, (await requestRestore(http.site.context, guid, id)).id);
  await http.tokenFor('view', guid);
  document = (await http.server.inject({ url: '/openapi.json' })).json();
});
afterAll(() => http[Symbol.asyncDispose]());

test('the document needs no credential, names its version and holds every route', () => {
  expect(document).toMatchObject({
    openapi: '3.1.0',
    servers: [{ url: 'https://forestay.example.org/base' }],
  });
  expect(document.info.version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(Object.keys(document.paths).length).toBeGreaterThan(20);
});

test('every reference leads somewhere, every operation says what it does and what it answers', () => {
  const references = JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g);
  const names = new Set([...references].map((match) => match[1]!));
  expect(names.size).toBeGreaterThan(5);
  for (const name of names) expect(document.components.schemas).toHaveProperty(name);
  expect(JSON.stringify(document)).not.toMatch(/"\$id"|def-\d/);
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { summary, responses }] of Object.entries(methods)) {
      expect([path, method, summary]).toEqual([path, method, expect.stringMatching(/./)]);
      for (const { description } of Object.values(responses)) expect(description).toMatch(/./);
      if (path === '/healthz' || path === '/readyz') continue;
      expect(Object.keys(responses)).toEqual(
        expect.arrayContaining(['400', '401', '403', '404', '429', '500']),
      );
      const shape = path.startsWith('/service-instances') ? 'V0Error' : 'Error';
      expect(JSON.stringify(responses['401'])).toContain(`#/components/schemas/${shape}"`);
    }
  }
});

test('every operation has an id of its own, made from its method and address', () => {
  const ids = Object.values(document.paths).flatMap((methods) =>
    Object.values(methods).map(({ operationId }) => operationId),
  );
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^(?:get|head|post|put|patch|delete)(?:[A-Z0-9][A-Za-z0-9]*)+$/);
  expect(document.paths['/v1/instances/{guid}/backups/{id}']).toMatchObject({
    get: { operationId: 'getInstancesByGuidBackupsById' },
    delete: { operationId: 'deleteInstancesByGuidBackupsById' },
  });
  expect(ids).toContain('postServiceInstancesByGuidBackupsRestore');
});

test('answers are what the document says', async () => {
  for (const [path, name, isList] of [
    [`/v1/instances/${guid}`, 'Instance', false],
    ['/v1/instances', 'Instance', true],
    ['/v1/engines', 'Engine', true],
    ['/v1/tokens', 'Token', true],
    [`/v1/instances/${guid}/backups`, 'Backup', true],
    [`/v1/instances/${guid}/restores`, 'Restore', true],
    [`/v1/instances/${guid}/backup-config`, 'BackupConfig', false],
    [`/service-instances/${guid}/backups`, 'V0List', false],
  ] as const) {
    const answer = await http.server.inject({ url: path, headers: asAdmin });
    expect([path, answer.statusCode]).toEqual([path, 200]);
    const body = answer.json();
    const items: unknown[] = isList ? body : [body];
    expect(items.length).toBeGreaterThan(0);
    const schema = document.components.schemas[name]!;
    for (const item of items) expect([path, Check(schema, item), item]).toEqual([path, true, item]);
  }
});

test('every error of the catalogue has a status that clients of the documents know what to do with', () => {
  for (const [code, status] of Object.entries(statusOf)) {
    expect([code, [400, 401, 403, 404, 409, 412, 422, 429, 500, 502, 504].includes(status)]).toEqual([
      code,
      true,
    ]);
  }
});

test('the page to read it on loads nothing from elsewhere', async () => {
  const page = await http.server.inject({ url: '/docs/' });
  expect(page.statusCode).toBe(200);
  expect(page.body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  const script = await http.server.inject({ url: '/docs/static/swagger-initializer.js' });
  expect(script.body).toContain('"validatorUrl":null');
  expect(page.headers['content-security-policy']).toContain("script-src 'self'");
});

test('liveness asks nothing, readiness says what is missing', async () => {
  expect((await http.server.inject({ url: '/healthz' })).json()).toMatchObject({ status: 'ok' });
  expect((await http.server.inject({ url: '/readyz' })).statusCode).toBe(200);
  await using unready = await makeHttpSite({
    readiness: async () => ({ ready: false, reasons: ['The store does not answer.'] }),
  });
  const answer = await unready.server.inject({ url: '/readyz' });
  expect([answer.statusCode, answer.json().reasons]).toEqual([503, ['The store does not answer.']]);
});
