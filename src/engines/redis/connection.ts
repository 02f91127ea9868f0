import { isIP } from 'node:net';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';

/** `verify` is the only one that knows whom it talks to; `no-verify` must be asked for by its name. */
export const tlsModes = ['disable', 'verify', 'no-verify'] as const;
export type TlsMode = (typeof tlsModes)[number];

const pem = (what: string) => Type.String({ title: what, format: 'textarea', maxLength: 1024 * 1024 });

export const connectionSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        title: 'Connection URL',
        description:
          'redis://user:password@host:6379, or rediss:// for TLS — instead of the fields below. An instance is the whole server, with all its databases.',
        format: 'password',
        writeOnly: true,
      }),
    ),
    host: Type.Optional(Type.String({ title: 'Host', description: 'Name or address of the server.' })),
    port: Type.Optional(Type.Integer({ title: 'Port', minimum: 1, maximum: 65535, default: 6379 })),
    username: Type.Optional(
      Type.String({
        title: 'User name',
        description: 'Of an ACL user; without one it is default.',
        minLength: 1,
      }),
    ),
    password: Type.Optional(Type.String({ title: 'Password', format: 'password', writeOnly: true })),
    tls: Type.Optional(
      Type.Enum([...tlsModes], {
        title: 'TLS',
        description: 'verify: with a certificate that is checked. no-verify: encrypted, to whoever answers.',
        default: 'disable',
      }),
    ),
    tls_ca: Type.Optional(pem('Certificates of the authorities to trust (PEM)')),
    tls_cert: Type.Optional(pem('Client certificate (PEM)')),
    tls_key: Type.Optional(
      Type.String({
        title: 'Key of the client certificate (PEM)',
        format: 'password',
        writeOnly: true,
        maxLength: 1024 * 1024,
      }),
    ),
  },
  { additionalProperties: false },
);

type ConnectionInput = Static<typeof connectionSchema>;

/** A connection with nothing left open. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  /** Empty: the server asks for none. */
  readonly password: string;
  readonly tls: TlsMode;
  readonly tls_ca?: string;
  readonly tls_cert?: string;
  readonly tls_key?: string;
}

/** Reads a connection; the result is plain fields, also when it was given as a URL. Throws `BadRequest`. */
export function parseConnection(input: unknown): Connection {
  return { ...readTarget(input) };
}

/** The same with its type, for connections that were parsed before. */
export function readTarget(input: unknown): Target {
  const fields = { ...checked(input) };
  const fromUrl = fields.url === undefined ? {} : parseUrl(fields.url);
  delete fields.url;
  for (const name of Object.keys(fromUrl)) {
    if (name in fields) refuse(`The connection gives ${name} twice: in the URL and as a field.`);
  }
  const given: ConnectionInput = { ...fields, ...fromUrl };
  const host = checkHost(given.host ?? refuse('The connection lacks a host.'));
  const { username, password = '', tls = 'disable', tls_ca, tls_cert, tls_key } = given;
  if (username !== undefined && password === '') refuse('A user name needs a password.');
  if (tls === 'disable' && (tls_ca ?? tls_cert ?? tls_key) !== undefined)
    refuse('The connection has certificates, but no TLS.', 'Set tls to verify.');
  if (tls === 'no-verify' && tls_ca !== undefined)
    refuse('With tls no-verify nothing is checked, so tls_ca has no meaning.', 'Set tls to verify.');
  if ((tls_cert === undefined) !== (tls_key === undefined)) refuse('tls_cert and tls_key belong together.');
  for (const [name, text] of Object.entries({ tls_ca, tls_cert, tls_key })) {
    if (text !== undefined && !text.includes('-----BEGIN '))
      refuse(`${name} must be PEM text, not the name of a file.`);
  }
  return {
    host,
    port: given.port ?? 6379,
    ...(username === undefined ? {} : { username }),
    password,
    tls,
    ...(tls_ca ? { tls_ca } : {}),
    ...(tls_cert && tls_key ? { tls_cert, tls_key } : {}),
  };
}

function checked(input: unknown): ConnectionInput {
  if (typeof input === 'string') return { url: input };
  if (Value.Check(connectionSchema, input)) return input;
  if (input === null || typeof input !== 'object') return refuse('The connection must be an object.');
  const known = Object.keys(connectionSchema.properties);
  const unknown = Object.keys(input).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    return refuse(
      `The connection has no field ${JSON.stringify(unknown)}.`,
      `Its fields are: ${known.join(', ')}.`,
    );
  }
  // Never the value: the field may be the password.
  const [first] = Value.Errors(connectionSchema, input);
  const field = first?.instancePath.split('/')[1] ?? 'connection';
  const allowed = field === 'tls' ? `one of ${tlsModes.join(', ')}` : (first?.message ?? 'valid');
  return refuse(`The field ${field} of the connection is wrong: ${allowed}.`);
}

/** https://www.iana.org/assignments/uri-schemes/prov/redis; `/0` is what URLs end with that mean the whole server. */
function parseUrl(text: string): Partial<ConnectionInput> {
  if (!/^(rediss?|valkeys?):\/\//i.test(text)) refuse('The url must start with redis:// or rediss://.');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse(
      'The url is not readable.',
      'Characters such as @ : / ? # % in names and passwords are written %40 %3A %2F %3F %23 %25.',
    );
  }
  if (url.hash !== '') refuse('The url must not contain #; in a password it is written %23.');
  if (url.search !== '') refuse('The url must not have options after ?.', 'Give them as fields.');
  if (!['', '/', '/0'].includes(url.pathname)) {
    refuse(
      'The url names a database, but an instance is the whole server with all its databases.',
      'Leave the database out of the url.',
    );
  }
  return {
    ...(url.hostname === '' ? {} : { host: decoded('host', url.hostname.replace(/^\[(.*)\]$/, '$1')) }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(url.username === '' ? {} : { username: decoded('username', url.username) }),
    ...(url.password === '' ? {} : { password: decoded('password', url.password) }),
    ...(/^(rediss|valkeys):/i.test(url.protocol) ? { tls: 'verify' as const } : {}),
  };
}

function decoded(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(`The ${name} in the url is not readable: % must be written %25.`);
  }
}

/** One host over TCP: a socket in the file system would be the worker's own. */
function checkHost(host: string): string {
  if (host.startsWith('/') || host.startsWith('@'))
    refuse(
      'The host must be a name or an address, not a socket.',
      'Connect over TCP, for example to localhost.',
    );
  if (host.includes(',')) refuse('The connection names several hosts; only one is possible.');
  if (isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?$/.test(host))
    refuse('The host is neither a host name nor an IP address.');
  return host;
}

function refuse(message: string, hint?: string): never {
  throw new ForestayError('BadRequest', message, hint === undefined ? {} : { hint });
}
