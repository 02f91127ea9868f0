import { type Static, Type } from 'typebox';
import type { Connection } from '../../core/instance.ts';
import { addressIn, checkHost, checkPem, pem, readFields, readUrl, refuse } from '../server-connection.ts';

const tlsModes = ['off', 'verify', 'unverified'] as const;

export const connectionSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        title: 'URL of the management API',
        description:
          'https://user:password@host:15671 — instead of host, port, path, user name, password and tls below.',
        format: 'password',
        writeOnly: true,
      }),
    ),
    host: Type.Optional(Type.String({ title: 'Host', description: 'Name or address of the broker.' })),
    port: Type.Optional(
      Type.Integer({
        title: 'Port of the management API',
        description: '15672 by default, 15671 with TLS.',
        minimum: 1,
        maximum: 65535,
      }),
    ),
    path: Type.Optional(
      Type.String({
        title: 'Path',
        description:
          'Where the management API is not at the root: management.path_prefix, or that of a proxy.',
        maxLength: 1000,
      }),
    ),
    username: Type.Optional(
      Type.String({
        title: 'User name',
        description: 'Of a user with the tag administrator. A user of its own is best.',
        minLength: 1,
      }),
    ),
    password: Type.Optional(Type.String({ title: 'Password', format: 'password', writeOnly: true })),
    vhost: Type.Optional(
      Type.String({
        title: 'Virtual host',
        description: 'The instance is this virtual host alone. Without it the instance is the whole broker.',
        minLength: 1,
        maxLength: 255,
      }),
    ),
    tls: Type.Optional(
      Type.Enum([...tlsModes], {
        title: 'TLS',
        description: 'verify: with a certificate that is checked. unverified: with any certificate.',
        default: 'off',
      }),
    ),
    ca: Type.Optional(pem('Certificates of the authorities to trust (PEM)')),
  },
  { additionalProperties: false },
);

type ConnectionInput = Static<typeof connectionSchema>;

/** A connection with nothing left open. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** Before `/api`; empty, or beginning with a slash and not ending with one. */
  readonly path: string;
  readonly username: string;
  readonly password: string;
  readonly tls: (typeof tlsModes)[number];
  readonly ca?: string;
  /** Undefined: the whole broker. */
  readonly vhost?: string;
}

/** Reads a connection; the result is plain fields, also when it was given as a URL. Throws `BadRequest`. */
export function parseConnection(input: unknown): Connection {
  return { ...readTarget(input) };
}

/** The same with its type, for connections that were parsed before. */
export function readTarget(input: unknown): Target {
  const given = readFields(connectionSchema, input, parseUrl);
  const tls = given.tls ?? 'off';
  const { ca, vhost } = given;
  checkPem({ ca });
  if (ca !== undefined && tls !== 'verify')
    refuse('ca is of use only with tls verify.', 'Set tls to verify.');
  const username = given.username ?? refuse('The connection lacks a username.');
  if (username.includes(':')) refuse('A user whose name has a colon cannot log in to the management API.');
  if (vhost === '.' || vhost === '..') refuse('The management API cannot address a vhost of this name.');
  return {
    host: checkHost(given.host),
    port: given.port ?? (tls === 'off' ? 15672 : 15671),
    path: checkPath(given.path ?? ''),
    username,
    password: given.password ?? '',
    tls,
    ...(ca === undefined ? {} : { ca }),
    ...(vhost === undefined ? {} : { vhost }),
  };
}

function parseUrl(text: string): Partial<ConnectionInput> {
  const url = readUrl(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    refuse(
      'The url must start with http:// or https://.',
      'It is that of the management API (port 15672), not the one that clients use (amqp://).',
    );
  }
  if (url.search !== '' || url.hash !== '') refuse('The url must have no ? and no #.');
  const path = url.pathname.replace(/\/+$/, '').replace(/\/api$/, '');
  return {
    port: url.protocol === 'https:' ? 443 : 80,
    ...addressIn(url),
    ...(path === '' ? {} : { path }),
    ...(url.protocol === 'https:' ? { tls: 'verify' as const } : {}),
  };
}

function checkPath(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  if (trimmed !== '' && !/^(\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+$/.test(trimmed)) {
    refuse('The path must begin with a slash and be written as in a URL.', 'Example: /rabbitmq');
  }
  return trimmed;
}
