import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
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
  await expect.poll(() => answer).toMatch(/^HTTP\/1.1 400 .*"BadRequest"/s);
  const open = () =>
    new Promise<number>((resolve) => http.server.server.getConnections((_, count) => resolve(count)));
  await expect.poll(open).toBe(0);
  client.destroy();
});

test('closing the server ends connections on which nothing was asked, or not yet all of it', async () => {
  await using other = await makeHttpSite();
  const url = new URL(await other.server.listen({ host: '127.0.0.1', port: 0 }));
  const clients = ['', 'GET /healthz HTTP/1.1\r\nHost:'].map((sent) => {
    const client = connect({ host: '127.0.0.1', port: Number(url.port) });
    client.on('error', () => {}).write(sent);
    return { client, closed: once(client, 'close') };
  });
  const open = () =>
    new Promise<number>((resolve) => other.server.server.getConnections((_, count) => resolve(count)));
  await expect.poll(open).toBe(clients.length);
  const closing = other.server.close();
  // Node's own patience with them is a minute, and more than the test has.
  await Promise.all([closing, ...clients.map(({ closed }) => closed)]);
}, 20_000);
