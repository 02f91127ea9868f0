import net from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isV0 } from '../../src/http/errors.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { type OpenApi, operationsOf, requests } from './openapi-requests.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

let http: HttpSite;
let guid: string;
beforeAll(async () => {
  http = await makeHttpSite();
  ({ guid } = await http.site.addInstance());
  await requestBackup(http.site.context, guid);
});
afterAll(() => http[Symbol.asyncDispose]());

function expectErrorShape(url: string, answer: { statusCode: number; headers: object; body: string }): void {
  const type = (answer.headers as Record<string, string>)['content-type'];
  if (type === 'text/html; charset=utf-8') return;
  expect(type).toBe('application/json; charset=utf-8');
  const body = JSON.parse(answer.body) as Record<string, unknown>;
  // `inject` resolves dots in addresses, as browsers do.
  const path = new URL(url, 'http://x').pathname;
  expect(Object.keys(body)).toEqual(isV0(path) ? ['msg'] : ['error', 'description']);
  for (const value of Object.values(body)) expect(value).toMatch(/./);
}

describe('malformed requests', () => {
  test('5,000 of them are all answered in the documented way, none with a 5xx', {
    timeout: 300_000,
  }, async () => {
    const document = (await http.server.inject({ url: '/openapi.json' })).json() as OpenApi;
    // An instance that is deleted answers 404 to everything; a second one is there to lose.
    const spare = await http.site.addInstance();
    const operations = operationsOf(document);
    const deletesInstance = (method: string, path: string) =>
      method === 'DELETE' && path === '/v1/instances/{guid}';
    const arbitrary = fc.oneof(
      {
        weight: operations.length - 1,
        arbitrary: requests(
          operations.filter(({ method, path }) => !deletesInstance(method, path)),
          [guid],
        ),
      },
      {
        weight: 1,
        arbitrary: requests(
          operations.filter(({ method, path }) => deletesInstance(method, path)),
          [spare.guid],
        ),
      },
    );
    const seen = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ operation, url, headers, payload, straight }) => {
        const answer = await http.server.inject({
          method: operation.method as 'GET',
          url,
          headers: { ...asAdmin, ...headers },
          ...(payload !== undefined && { payload }),
        });
        seen.set(answer.statusCode, (seen.get(answer.statusCode) ?? 0) + 1);
        expect(answer.statusCode).toBeLessThan(500);
        expect(answer.headers['x-request-id']).toMatch(/^[\w.-]+$/);
        if (answer.statusCode >= 400 && operation.method !== 'HEAD') expectErrorShape(url, answer);
        if (straight) expect(operation.statuses).toContain(answer.statusCode);
      }),
      { numRuns: 5000, seed: 20_260_101 },
    );
    // Proof that they got past the door: many kinds of answer.
    expect([...seen.keys()]).toEqual(expect.arrayContaining([200, 201, 400, 401, 404, 412, 413, 415, 422]));
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test.each([
    ['GET', '/nothing', 404, 'NotFound'],
    ['GET', '/v1', 404, 'NotFound'],
    ['PUT', '/v1/tokens', 405, 'MethodNotAllowed'],
    ['DELETE', '/v1/engines/', 405, 'MethodNotAllowed'],
    ['GET', '/v1/instances/%zz', 400, 'BadRequest'],
  ] as const)('%s %s is answered %i %s', async (method, url, status, word) => {
    const answer = await http.server.inject({ method, url, headers: asAdmin });
    expect([answer.statusCode, answer.json().error]).toEqual([status, word]);
    if (status === 405) expect(answer.headers.allow).toMatch(/^[A-Z, ]+$/);
  });

  test('a body that is too large, or no JSON, is refused in the shape of the version', async () => {
    const post = (url: string, type: string, payload: string) =>
      http.server.inject({ method: 'POST', url, headers: { ...asAdmin, 'content-type': type }, payload });
    for (const [base, shape] of [
      [`/service-instances/${guid}/backups/restore`, ['msg']],
      ['/v1/tokens', ['error', 'description']],
    ] as const) {
      const large = await post(base, 'application/json', JSON.stringify({ name: 'x'.repeat(1024 * 1024) }));
      const text = await post(base, 'text/plain', 'words');
      const broken = await post(base, 'application/json', '{');
      expect([large.statusCode, text.statusCode, broken.statusCode]).toEqual([413, 415, 400]);
      for (const answer of [large, text, broken]) expect(Object.keys(answer.json())).toEqual(shape);
    }
  });

  test('fields that nobody knows are ignored, wrong types are not turned into right ones', async () => {
    const post = (payload: object) =>
      http.server.inject({ method: 'POST', url: '/v1/tokens', headers: asAdmin, payload });
    expect((await post({ name: 'x', more: [1] })).statusCode).toBe(201);
    for (const [payload, field] of [
      [{ name: 5 }, 'name'],
      [{ name: 'x', operator: 'true' }, 'operator'],
      [{ name: 'x', instances: 'all' }, 'instances'],
      [{ name: 'x', instances: [{ instance_id: guid, right: 'own' }] }, 'instances.0.right'],
      [{}, 'name'],
    ] as const) {
      const answer = await post(payload);
      expect([answer.statusCode, answer.json().description]).toEqual([400, expect.stringContaining(field)]);
    }
  });

  test('what is no HTTP is answered in the shape of the API, and the connection closed', async () => {
    const { port } = new URL(await http.server.listen({ host: '127.0.0.1', port: 0 }));
    const say = (text: string) =>
      new Promise<string>((resolve, reject) => {
        let heard = '';
        const socket = net.connect(Number(port), '127.0.0.1', () => socket.write(text));
        socket.on('data', (data) => (heard += data.toString()));
        socket.on('close', () => resolve(heard));
        socket.on('error', reject);
      });
    for (const [text, status] of [
      ['NONSENSE\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`, 431],
      ['POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
      ['PROPFIND /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 405],
      ['GET //v1//engines/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 401],
      ['GET http://elsewhere/%% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
    ] as const) {
      const heard = await say(text);
      expect([text.slice(0, 30), heard.split(' ')[1]]).toEqual([text.slice(0, 30), String(status)]);
      expect(heard).toContain('"description":');
    }
  });
});

test('lists are whole by default, and in pages where a limit is asked for', async () => {
  const { guid } = await http.site.addInstance();
  for (let count = 0; count < 5; count++) await requestBackup(http.site.context, guid);
  const get = (url: string) => http.server.inject({ url, headers: asAdmin });
  const whole = await get(`/v1/instances/${guid}/backups`);
  expect(whole.headers.link).toBeUndefined();
  let next: string | undefined = `/v1/instances/${guid}/backups?limit=2`;
  const paged: unknown[] = [];
  const sizes: number[] = [];
  while (next) {
    const page: Awaited<ReturnType<typeof get>> = await get(next);
    paged.push(...page.json());
    sizes.push(page.json().length);
    const link: string | undefined = /^<(.*)>; rel="next"$/.exec(String(page.headers.link))?.[1];
    next = link && new URL(link).pathname + new URL(link).search;
  }
  expect([sizes, paged]).toEqual([[2, 2, 1], whole.json()]);
  for (const url of ['/v1/instances', '/v1/tokens', `/v1/instances/${guid}/restores`]) {
    expect((await get(`${url}?limit=1`)).json().length).toBeLessThanOrEqual(1);
    for (const wrong of ['limit=0', 'limit=1001', 'limit=x', 'limit=1&limit=2', 'cursor=x']) {
      expect([wrong, (await get(`${url}?${wrong}`)).statusCode]).toEqual([wrong, 400]);
    }
  }
});
