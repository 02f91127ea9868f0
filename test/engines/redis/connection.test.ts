import { expect, test } from 'vitest';
import { parseConnection } from '../../../src/engines/redis/connection.ts';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { startRedisServer } from '../../support/redis-server.ts';

const never = new AbortController().signal;

test('a URL and fields say the same', () => {
  expect(parseConnection('rediss://us%40er:p%3Aw@cache.example:6380/0')).toEqual(
    parseConnection({ host: 'cache.example', port: 6380, username: 'us@er', password: 'p:w', tls: 'verify' }),
  );
  expect(parseConnection({ url: 'redis://:pw@[::1]' })).toEqual({
    host: '::1',
    port: 6379,
    password: 'pw',
    tls: 'disable',
  });
});

test.for<readonly [unknown, string]>([
  [{}, 'lacks a host'],
  [{ url: 'http://host' }, 'redis://'],
  [{ url: 'redis://host/3' }, 'whole server'],
  [{ url: 'redis://host?db=3' }, 'options'],
  [{ url: 'redis://host', host: 'other' }, 'twice'],
  [{ host: '/run/redis.sock' }, 'not a socket'],
  [{ host: 'a,b' }, 'several hosts'],
  [{ host: 'a', database: 1 }, 'no field "database"'],
  [{ host: 'a', port: 0 }, 'field port'],
  [{ host: 'a', tls: 'prefer' }, 'one of disable, verify, no-verify'],
  [{ host: 'a', tls_ca: '-----BEGIN CERTIFICATE-----' }, 'no TLS'],
  [{ host: 'a', tls: 'verify', tls_ca: '/etc/ca.pem' }, 'PEM text'],
  [{ host: 'a', tls: 'verify', tls_cert: '-----BEGIN CERTIFICATE-----' }, 'belong together'],
  [{ host: 'a', username: 'u' }, 'needs a password'],
])('%j is refused with a sentence', ([input, sentence]) => {
  expect(() => parseConnection(input)).toThrow(
    expect.objectContaining({ code: 'BadRequest', message: expect.stringContaining(sentence) }),
  );
});

test('a password that is wrong in kind does not show', () => {
  expect(() => parseConnection({ host: 'a', password: { secret: 's3cret' } })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('s3cret') }),
  );
});

test('TLS is verified unless it is asked for in so many words that it is not', async () => {
  const engine = createRedisEngine();
  const server = await startRedisServer({ tls: true });
  try {
    const { tls_ca, ...rest } = server.connection();
    const probe = (changes: object) => engine.probe(engine.parseConnection({ ...rest, ...changes }), never);
    expect((await probe({ tls_ca })).warnings).toEqual([]);
    // Of an authority that nobody knows; and a name that is not in the certificate.
    await expect(probe({})).rejects.toMatchObject({
      code: 'InstanceRefused',
      hint: expect.stringContaining('tls_ca'),
    });
    await expect(probe({ tls_ca, host: '127.0.0.1' })).rejects.toMatchObject({ code: 'InstanceRefused' });
    expect((await probe({ tls: 'no-verify' })).warnings).toEqual([expect.stringContaining('no-verify')]);
    // Without TLS the server closes the connection, or answers in TLS.
    await expect(probe({ tls: 'disable' })).rejects.toMatchObject({
      code: expect.stringMatching(/^Instance/),
    });
  } finally {
    await server.stop();
  }
});
