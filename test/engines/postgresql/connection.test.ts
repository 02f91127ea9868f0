import { describe, expect, test } from 'vitest';
import { parseConnection } from '../../../src/engines/postgresql/connection.ts';

const fields = { host: 'db.example', database: 'app', username: 'me' };

describe('a connection of PostgreSQL', () => {
  test('is given as fields or as a URL, and comes out the same', () => {
    const parsed = parseConnection({ url: 'postgres://m%40e:p%2Fw%3F@[::1]:6000/a%20b%3D1?sslmode=require' });
    const expected = {
      host: '::1',
      port: 6000,
      database: 'a b=1',
      username: 'm@e',
      password: 'p/w?',
      sslmode: 'require',
    };
    expect(parsed).toEqual(expected);
    expect(parseConnection(expected)).toEqual(expected);
    expect(parseConnection(fields)).toEqual({ ...fields, port: 5432, password: '', sslmode: 'prefer' });
    expect(parseConnection({ url: 'postgresql://me@db.example/app', password: 'x' })).toMatchObject({
      password: 'x',
    });
  });

  test.for([
    ['a socket', { ...fields, host: '/var/run/postgresql' }],
    ['an abstract socket', { ...fields, host: '@x' }],
    ['several hosts', { ...fields, host: 'a,b' }],
    ['a host with options', { ...fields, host: 'a sslmode=disable' }],
    ['no host', { database: 'a', username: 'b' }],
    ['no host in the URL', { url: 'postgres:///app?host=/tmp' }],
    ['a host option in the URL', { url: 'postgres://me@a/app?host=b' }],
    ['a service', { url: 'postgres://me@a/app?service=x' }],
    ['a password file', { url: 'postgres://me@a/app?passfile=/etc/passwd' }],
    ['a file of certificates', { url: 'postgres://me@a/app?sslrootcert=/etc/x' }],
    ['server options', { url: 'postgres://me@a/app?options=-c%20x' }],
    ['an unknown sslmode', { url: 'postgres://me@a/app?sslmode=off' }],
    ['another scheme', { url: 'mysql://me@a/app' }],
    ['something unreadable', { url: 'postgres://me:pw@ho st:x/app' }],
    ['a field twice', { url: 'postgres://me@a/app', host: 'b' }],
    ['an unknown field', { ...fields, options: '-c x' }],
    ['a wrong type', { ...fields, port: 'x' }],
    ['a port out of range', { ...fields, port: 70000 }],
    ['a name that the server would cut', { ...fields, database: 'x'.repeat(64) }],
    ['a line break in the password', { ...fields, password: 'a\nb' }],
    ['verify-ca without an authority', { ...fields, sslmode: 'verify-ca' }],
    ['a file name for PEM', { ...fields, sslrootcert: '/etc/ssl/cert.pem' }],
    ['a certificate without its key', { ...fields, sslcert: '-----BEGIN CERTIFICATE-----' }],
    ['nothing', null],
  ] as const)('refuses %s', ([, input]) => {
    expect(() => parseConnection(input)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
  });

  test('refusals never show the password', () => {
    for (const input of [
      { ...fields, password: { secret: 's3cret' } },
      { url: 'postgres://me:s3cret@ho st/app' },
      { url: 'postgres://me:s3cret%@a/app' },
      { url: 'postgres://me:s3cret#x@a/app' },
      { url: 'mysql://me:s3cret@a/app' },
    ]) {
      let thrown: unknown;
      try {
        parseConnection(input);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code: 'BadRequest' });
      expect(JSON.stringify([String(thrown), (thrown as { hint?: string }).hint])).not.toContain('s3cret');
    }
  });
});
