import { type Static, Type } from 'typebox';
import type { Connection } from '../../core/instance.ts';
import { addressIn, checkHost, checkPem, pem, readFields, readUrl, refuse } from '../server-connection.ts';

/** `verify` is the only one that knows whom it talks to; `no-verify` must be asked for by its name. */
export const tlsModes = ['disable', 'verify', 'no-verify'] as const;
export type TlsMode = (typeof tlsModes)[number];

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
  const given = readFields(connectionSchema, input, parseUrl);
  const host = checkHost(given.host);
  const { username, password = '', tls = 'disable', tls_ca, tls_cert, tls_key } = given;
  if (username !== undefined && password === '') refuse('A user name needs a password.');
  if (tls === 'disable' && (tls_ca ?? tls_cert ?? tls_key) !== undefined)
    refuse('The connection has certificates, but no TLS.', 'Set tls to verify.');
  if (tls === 'no-verify' && tls_ca !== undefined)
    refuse('With tls no-verify nothing is checked, so tls_ca has no meaning.', 'Set tls to verify.');
  if ((tls_cert === undefined) !== (tls_key === undefined)) refuse('tls_cert and tls_key belong together.');
  checkPem({ tls_ca, tls_cert, tls_key });
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

/** https://www.iana.org/assignments/uri-schemes/prov/redis; `/0` is what URLs end with that mean the whole server. */
function parseUrl(text: string): Partial<ConnectionInput> {
  if (!/^(rediss?|valkeys?):\/\//i.test(text)) refuse('The url must start with redis:// or rediss://.');
  const url = readUrl(text);
  if (url.hash !== '') refuse('The url must not contain #; in a password it is written %23.');
  if (url.search !== '') refuse('The url must not have options after ?.', 'Give them as fields.');
  if (!['', '/', '/0'].includes(url.pathname)) {
    refuse(
      'The url names a database, but an instance is the whole server with all its databases.',
      'Leave the database out of the url.',
    );
  }
  return {
    ...addressIn(url),
    ...(/^(rediss|valkeys):/i.test(url.protocol) ? { tls: 'verify' as const } : {}),
  };
}
