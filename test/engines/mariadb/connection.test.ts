import { expect, test } from 'vitest';
import { parseConnection } from '../../../src/engines/mariadb/connection.ts';

const whole = { host: 'h', database: 'd', username: 'u' };

test('a connection is read from a URL or from fields', () => {
  const read = { host: 'h', port: 3307, database: 'db', username: 'u', password: 'p@', sslmode: 'require' };
  expect(parseConnection('mariadb://u:p%40@h:3307/db?sslmode=require')).toEqual(read);
  expect(parseConnection({ ...whole, url: undefined })).toMatchObject({ port: 3306, sslmode: 'prefer' });
  expect(parseConnection('mysql://u@[::1]/db')).toMatchObject({ host: '::1', database: 'db', password: '' });
});

test.each<[input: unknown, message: RegExp]>([
  [5, /must be an object/],
  ['http://x', /must start with mariadb:\/\/ or mysql:\/\//],
  ['mariadb://u@h:x/d', /url is not readable/],
  [{ url: 'mariadb://u@h/d', host: 'h' }, /gives host twice/],
  [{ database: 'd', username: 'u' }, /lacks a host/],
  [{ ...whole, host: '/run/mysqld.sock' }, /not a socket/],
  [{ ...whole, host: 'a,b' }, /several hosts/],
  [{ ...whole, database: 'mysql' }, /belongs to the server itself/],
  [{ ...whole, sslmode: 'x' }, /sslmode of the connection is wrong: one of disable, /],
  [{ ...whole, sslcert: '/f', sslkey: '/k' }, /sslcert must be PEM text/],
  [{ ...whole, secret: 1 }, /no field "secret"/],
])('%j is refused', (input, message) => {
  expect(() => parseConnection(input)).toThrow(expect.objectContaining({ code: 'BadRequest' }));
  expect(() => parseConnection(input)).toThrow(message);
});
