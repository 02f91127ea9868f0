import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { ForestayError } from '../../../src/core/errors.ts';
import { createRabbitmqEngine } from '../../../src/engines/rabbitmq/engine.ts';
import { streamOf, takeBackup, ticketFor } from '../../contract/engine-contract.ts';

/** What brokers do that do not work, and what is no broker at all: fake ones, which need no RabbitMQ. */

const never = new AbortController().signal;
const engine = createRabbitmqEngine({ stallMs: 300, requestMs: 1500 });
const secret = 'sw0rdf1sh-of-the-tests';

const definitions = {
  users: [
    { name: 'admin', password_hash: 'h4sh', hashing_algorithm: 'x', tags: ['administrator'], limits: {} },
  ],
  vhosts: [{ name: '/', metadata: {} }],
  exchanges: [
    {
      name: 'e',
      vhost: '/',
      type: 'x-delayed-message',
      durable: true,
      auto_delete: false,
      internal: false,
      arguments: {},
    },
  ],
  parameters: [{ vhost: '/', component: 'shovel', name: 's', value: { 'src-uri': 'amqp://u:hidden@h' } }],
};
const usual: Record<string, unknown> = {
  '/api/whoami': { name: 'admin', tags: ['administrator'] },
  '/api/overview': { rabbitmq_version: '3.10.8', exchange_types: [{ name: 'x-delayed-message' }] },
  '/api/definitions': definitions,
  '/api/nodes': [{ enabled_plugins: ['rabbitmq_shovel'] }],
};
type Answer = (response: ServerResponse) => void;

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  if (server) await once(server.close(), 'close');
  server = undefined;
});

/** A broker that answers as usual but for what is told. */
async function startFake(
  answers: Record<string, object | Answer> = {},
  fake: Server = createServer(),
): Promise<number> {
  server = fake;
  fake.on('request', (request, response: ServerResponse) => {
    request.resume();
    const path = request.url?.split('?')[0] ?? '';
    const answer = answers[path] ?? usual[path];
    if (typeof answer === 'function') return answer(response);
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(JSON.stringify(answer ?? { error: 'Object Not Found', reason: 'Not Found' }));
  });
  fake.listen(0, '127.0.0.1');
  await once(fake, 'listening');
  return (fake.address() as { port: number }).port;
}

const connectionTo = (port: number, more: object = {}) =>
  engine.parseConnection({ host: '127.0.0.1', port, username: 'admin', password: secret, ...more });

async function failureOf(work: Promise<unknown>): Promise<ForestayError> {
  const error = (await work.then(
    () => new Error('did not fail'),
    (reason: unknown) => reason,
  )) as ForestayError;
  expect(`${error.message} ${error.hint} ${String(error.cause)}`).not.toContain(secret);
  return error;
}

const text = JSON.stringify(definitions);
const faults: readonly (readonly [what: string, answer: Answer, code: string, message: RegExp])[] = [
  [
    'ends its answer in the middle as if that were all',
    (response) => response.end(text.slice(0, text.length / 2)),
    'InstanceUnreachable',
    /not JSON, or not all/,
  ],
  [
    'breaks off in the middle of its answer',
    (response) => {
      response.writeHead(200, { 'content-length': text.length }).write(text.slice(0, 50));
      setTimeout(() => response.destroy(), 50);
    },
    'InstanceUnreachable',
    /ECONNRESET/,
  ],
  [
    'answers with an error of its own',
    (response) => response.writeHead(500).end('{"error":"internal"}'),
    'InstanceUnreachable',
    /\(500\)/,
  ],
  ['falls silent', () => {}, 'InstanceUnreachable', /said nothing for 0.3 s/],
  [
    'never comes to an end',
    (response) => {
      const drip = setInterval(() => response.write(' '), 50);
      response.on('close', () => clearInterval(drip));
    },
    'InstanceUnreachable',
    /did not finish its answer in 1.5 s/,
  ],
  [
    'answers something else',
    (response) => response.end('{"queues":{"a":1}}'),
    'InstanceUnreachable',
    /queues is not a list/,
  ],
  [
    'lists things without names',
    (response) => response.end('{"queues":[{"vhost":"/"}]}'),
    'InstanceUnreachable',
    /queues has no name/,
  ],
  [
    'answers without end',
    (response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024, 32)));
      };
      response.on('drain', more);
      more();
    },
    'InstanceRefused',
    /larger than/,
  ],
];

describe('a broker that', () => {
  test.for(faults)('%s fails a backup, and says why', async ([, answer, code, message]) => {
    const port = await startFake({ '/api/definitions': answer });
    const error = await failureOf(takeBackup(engine, connectionTo(port)));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), hint: expect.any(String) });
  });

  test('never rests is not backed up as if it were of one moment', async () => {
    const hasty = createRabbitmqEngine({ settleMs: 300 });
    let turn = 0;
    const port = await startFake({
      '/api/definitions': (response) =>
        response.end(JSON.stringify({ global_parameters: [{ name: 'turn', value: ++turn }] })),
    });
    const startedAt = performance.now();
    expect(await failureOf(takeBackup(hasty, connectionTo(port)))).toMatchObject({ code: 'InstanceBusy' });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(300);
    expect(turn).toBeGreaterThan(2);
  });

  test('rests after a while is backed up as it is then', async () => {
    let turn = 0;
    const port = await startFake({
      '/api/definitions': (response) =>
        response.end(JSON.stringify({ global_parameters: [{ name: 'turn', value: Math.min(++turn, 11) }] })),
    });
    const { bytes } = await takeBackup(engine, connectionTo(port));
    expect(JSON.parse(bytes.toString()).global_parameters).toEqual([{ name: 'turn', value: 11 }]);
  });

  test('never rests is left alone at once by a backup that is canceled', async () => {
    let turn = 0;
    const canceled = new AbortController();
    const port = await startFake({
      '/api/definitions': (response) => {
        if (++turn === 6) canceled.abort();
        response.end(JSON.stringify({ global_parameters: [{ name: 'turn', value: turn }] }));
      },
    });
    await expect(engine.backUp(connectionTo(port), canceled.signal)).rejects.toMatchObject({
      code: 'Canceled',
    });
    expect(turn).toBe(6);
  });

  test('goes down while it is backed up fails the backup at its end', async () => {
    let asked = 0;
    const port = await startFake({
      '/api/overview': (response) =>
        ++asked === 1 ? response.end(JSON.stringify(usual['/api/overview'])) : response.destroy(),
    });
    expect(await failureOf(takeBackup(engine, connectionTo(port)))).toMatchObject({
      code: 'InstanceUnreachable',
    });
    expect(asked).toBe(2);
  });

  test('lets a user in who is not an administrator is refused, with what to type', async () => {
    const port = await startFake({ '/api/whoami': { name: 'app', tags: 'management' } });
    const error = await failureOf(engine.probe(connectionTo(port), never));
    expect(error).toMatchObject({ code: 'InstanceRefused' });
    expect(error.hint).toContain('rabbitmqctl set_user_tags app administrator');
  });

  test('lacks the vhost is refused', async () => {
    const port = await startFake();
    const error = await failureOf(engine.probe(connectionTo(port, { vhost: 'not there' }), never));
    expect(error).toMatchObject({ code: 'InstanceRefused', message: expect.stringContaining('not there') });
  });

  test('is canceled while it is silent ends at once', async () => {
    const port = await startFake({ '/api/definitions': () => {} });
    const canceled = new AbortController();
    const backingUp = engine.backUp(connectionTo(port), canceled.signal);
    setTimeout(() => canceled.abort(), 50);
    await expect(backingUp).rejects.toMatchObject({ code: 'Canceled' });
  });
});

describe('what is no management API', () => {
  test('but speaks another protocol is told from it', async () => {
    const amqp = createTcpServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('AMQP\0\0\x09\x01'),
    ).listen(0, '127.0.0.1');
    await once(amqp, 'listening');
    const { port } = amqp.address() as { port: number };
    const error = await failureOf(engine.probe(connectionTo(port), never));
    expect(error).toMatchObject({ code: 'InstanceRefused', hint: expect.stringContaining('15672') });
    await once(amqp.close(), 'close');
  });

  test.for([
    ['another web server', (response: ServerResponse) => response.writeHead(404).end('<html>nginx</html>')],
    [
      'a login page',
      (response: ServerResponse) => response.writeHead(302, { location: 'http://elsewhere/' }).end(),
    ],
  ] as const)('but %s is told from it, and not followed', async ([, answer]) => {
    const port = await startFake({ '/api/whoami': answer });
    expect(await failureOf(engine.probe(connectionTo(port), never))).toMatchObject({
      code: 'InstanceRefused',
    });
  });
});

describe('a backup that the broker cannot take', () => {
  const backUp = async () => takeBackup(engine, connectionTo(await startFake()));
  test.for([
    [
      'of a newer major version',
      { '/api/overview': { rabbitmq_version: '2.8.7', exchange_types: [] } },
      {},
      /3\.10\.8.*2\.8\.7/,
    ],
    [
      'with a type of exchange that is not enabled',
      { '/api/overview': { rabbitmq_version: '3.10.8', exchange_types: [{ name: 'topic' }] } },
      {},
      /x-delayed-message/,
    ],
    [
      'with shovels, where there is no such plugin',
      { '/api/nodes': [{ enabled_plugins: [] }] },
      {},
      /rabbitmq_shovel/,
    ],
    ['of a whole broker, for one vhost', { '/api/vhosts/v': { name: 'v' } }, { vhost: 'v' }, /one vhost/],
  ] as const)('%s is refused before anything is done', async ([, answers, fields, message]) => {
    const backup = await backUp();
    server?.closeAllConnections();
    if (server) await once(server.close(), 'close');
    const port = await startFake(answers);
    const wanted = { code: 'IncompatibleBackup', message: expect.stringMatching(message) };
    const connection = connectionTo(port, fields);
    expect(await failureOf(engine.assertRestorable(connection, backup.source, never))).toMatchObject(wanted);
    const restoring = engine.restore(connection, streamOf(backup.bytes), ticketFor(backup.source), never);
    expect(await failureOf(restoring)).toMatchObject(wanted);
  });

  test('because another engine made it is refused', async () => {
    const connection = connectionTo(await startFake());
    const source = { engineVersion: '15.18', details: { database: 'shop' } };
    expect(await failureOf(engine.assertRestorable(connection, source, never))).toMatchObject({
      code: 'IncompatibleBackup',
    });
  });
});

describe('TLS', () => {
  test('checks the certificate, with the authority that is given, unless told not to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tls-'));
    const args = 'req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout key -out cert'.split(
      ' ',
    );
    execFileSync('openssl', [...args, '-addext', 'subjectAltName=DNS:localhost'], {
      cwd: folder,
      stdio: 'pipe',
    });
    const [key, cert] = [await readFile(join(folder, 'key')), await readFile(join(folder, 'cert'), 'utf8')];
    await rm(folder, { recursive: true });
    const port = await startFake({}, createTlsServer({ key, cert }));
    const probe = (more: object) => engine.probe(connectionTo(port, { host: 'localhost', ...more }), never);
    expect(await probe({ tls: 'verify', ca: cert })).toMatchObject({ engineVersion: '3.10.8' });
    expect((await probe({ tls: 'unverified' })).warnings.join(' ')).toContain('certificate');
    expect(await failureOf(probe({ tls: 'verify' }))).toMatchObject({ code: 'InstanceRefused' });
    const wrongName = engine.parseConnection({
      ...{ host: '127.0.0.1', port, username: 'admin', password: secret, tls: 'verify', ca: cert },
    });
    expect(await failureOf(engine.probe(wrongName, never))).toMatchObject({ code: 'InstanceRefused' });
    expect(await failureOf(probe({}))).toMatchObject({ code: expect.stringMatching(/^Instance/) });
  });
});

describe('a connection', () => {
  const fields = { host: 'mq.example.org', username: 'admin', password: secret };
  test('is read from fields and from a URL alike', () => {
    const url = `https://admin:${secret}@mq.example.org:15671/mq/api/`;
    expect(engine.parseConnection({ url, vhost: 'a/b' })).toEqual({
      ...{ ...fields, port: 15671, path: '/mq', tls: 'verify', vhost: 'a/b' },
    });
    expect(engine.parseConnection(fields)).toEqual({ ...fields, port: 15672, path: '', tls: 'off' });
    expect(engine.parseConnection({ ...fields, tls: 'verify' })).toMatchObject({ port: 15671 });
    expect(engine.parseConnection('http://a%40b:p%2Fw@[::1]:1/')).toMatchObject({
      ...{ host: '::1', username: 'a@b', password: 'p/w', port: 1 },
    });
  });

  test.for([
    [{}, /lacks a username/],
    [{ ...fields, host: undefined }, /wrong|lacks a host/],
    [{ ...fields, host: '../etc' }, /neither a host name/],
    [{ ...fields, path: 'x y' }, /path/],
    [{ ...fields, port: 0 }, /port/],
    [{ ...fields, vhost: '..' }, /vhost/],
    [{ ...fields, username: 'a:b' }, /colon/],
    [{ ...fields, tls: 'verify', ca: '/etc/ca.pem' }, /PEM/],
    [{ ...fields, ca: '-----BEGIN X' }, /tls/],
    [{ ...fields, tls: 'maybe' }, /tls/],
    [{ ...fields, sslmode: 'x' }, /no field "sslmode"/],
    [{ url: `amqp://admin:${secret}@h` }, /http/],
    [{ url: 'http://h', ...fields }, /host twice/],
    [{ url: `http://admin:${secret}@h?x=1` }, /no \?/],
    [7, /object/],
  ] as const)('%j is refused with what is wrong', ([input, message]) => {
    const parse = () => engine.parseConnection(input);
    expect(parse).toThrow(message);
    expect(parse).not.toThrow(secret);
  });
});
