import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bytesOf, inChunks, never } from '../../contract/store-data.ts';
import { type AzuriteWithContainer, startAzuriteWithContainer, storeAt } from './servers.ts';

let server: AzuriteWithContainer;
let folder: string;
let secure: Server;
/** Azurite behind TLS. */
let secureEndpoint: string;
const proxied: string[] = [];
const proxy = createHttpServer();

const portOf = async (listening: Server) => {
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return (listening.address() as { port: number }).port;
};

beforeAll(async () => {
  server = await startAzuriteWithContainer();
  folder = await mkdtemp(join(tmpdir(), 'forestay-tls-'));
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
      ...[
        '-addext',
        'subjectAltName=DNS:localhost',
        '-keyout',
        join(folder, 'key.pem'),
        '-out',
        join(folder, 'ca.pem'),
      ],
    ],
    { stdio: 'ignore' },
  );
  const [key, cert] = await Promise.all([
    readFile(join(folder, 'key.pem')),
    readFile(join(folder, 'ca.pem')),
  ]);
  const { hostname, port } = new URL(server.endpoint);
  secure = createTlsServer({ key, cert }, (socket) => {
    const onward = connect(Number(port), hostname);
    for (const each of [socket, onward]) each.on('error', () => {});
    socket.pipe(onward).pipe(socket);
  });
  secureEndpoint = `https://localhost:${await portOf(secure)}`;
  proxy.on('connect', (request, socket) => {
    proxied.push(request.url ?? '');
    const [host, port] = (request.url ?? '').split(':');
    const onward = connect(Number(port), host, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    for (const each of [socket, onward]) each.on('error', () => {});
    socket.pipe(onward).pipe(socket);
  });
});
afterAll(async () => {
  for (const each of [secure, proxy]) each.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

const roundTrip = async (more: string) => {
  const store = storeAt(server, secureEndpoint, { more });
  await store.put('data', inChunks(Buffer.from('bytes')), { signal: never });
  return (await bytesOf(await store.get('data', { signal: never }))).toString();
};

describe('https', () => {
  it('works with an authority of one’s own, and only with it', async () => {
    expect(await roundTrip(`&ca_file=${folder}/ca.pem`)).toBe('bytes');
    await expect(roundTrip('')).rejects.toMatchObject({
      code: 'StoreDenied',
      hint: expect.stringContaining('ca_file='),
    });
  });
});

describe('a proxy', () => {
  const names = ['HTTPS_PROXY', 'NO_PROXY'] as const;
  const before = names.map((name) => process.env[name]);
  afterEach(() => {
    for (const [index, name] of names.entries()) {
      if (before[index] === undefined) delete process.env[name];
      else process.env[name] = before[index];
    }
  });

  it('is used when HTTPS_PROXY names it, unless NO_PROXY names the server', async () => {
    const port = await portOf(proxy);
    process.env.HTTPS_PROXY = `http://127.0.0.1:${port}`;
    delete process.env.NO_PROXY;
    expect(await roundTrip(`&ca_file=${folder}/ca.pem`)).toBe('bytes');
    expect(proxied).toEqual([new URL(secureEndpoint).host]);
    process.env.NO_PROXY = 'localhost';
    expect(await roundTrip(`&ca_file=${folder}/ca.pem`)).toBe('bytes');
    expect(proxied).toHaveLength(1);
  });
});
