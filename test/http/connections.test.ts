import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type HttpSite, makeHttpSite } from './site.ts';

let http: HttpSite;
let port: number;
beforeAll(async () => {
  http = await makeHttpSite();
  port = Number(new URL(await http.server.listen({ host: '127.0.0.1', port: 0 })).port);
});
afterAll(() => http[Symbol.asyncDispose]());

test('a client that sends no HTTP and keeps its side open does not keep the connection', async () => {
  let answer = '';
  const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  client.on('data', (bytes) => {
    answer += bytes.toString();
  });
  client.on('error', () => {});
  client.write('no HTTP\r\n\r\n');
  await vi.waitFor(() => expect(answer).toMatch(/^HTTP\/1.1 400 .*"BadRequest"/s));
  const open = () =>
    new Promise<number>((resolve) => http.server.server.getConnections((_, count) => resolve(count)));
  await vi.waitFor(async () => expect(await open()).toBe(0), { timeout: 6000, interval: 100 });
  client.destroy();
});
