import { isIP } from 'node:net';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';

/** What may be said about a connection. Everything else is refused. */
export const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

const pem = (what: string) => Type.String({ title: what, format: 'textarea', maxLength: 1024 * 1024 });

export const connectionSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        title: 'Connection URL',
        description:
          'mariadb://user:password@host:3306/database?sslmode=require — instead of the fields below.',
        format: 'password',
        writeOnly: true,
      }),
    ),
    host: Type.Optional(
      Type.String({
        title: 'Host',
        description: 'Name or address of the server. Sockets in the file system are refused.',
      }),
    ),
    port: Type.Optional(Type.Integer({ title: 'Port', minimum: 1, maximum: 65535, default: 3306 })),
    database: Type.Optional(Type.String({ title: 'Database', minLength: 1 })),
    username: Type.Optional(Type.String({ title: 'User name', minLength: 1 })),
    password: Type.Optional(Type.String({ title: 'Password', format: 'password', writeOnly: true })),
    sslmode: Type.Optional(
      Type.Enum([...sslModes], {
        title: 'TLS',
        description: 'As in PostgreSQL: verify-full is the only mode that knows whom it talks to.',
        default: 'prefer',
      }),
    ),
    sslrootcert: Type.Optional(pem('Certificates of the authorities to trust (PEM)')),
    sslcert: Type.Optional(pem('Client certificate (PEM)')),
    sslkey: Type.Optional(
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

/** A connection with nothing left open. Names are as the server knows them, not quoted. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  readonly password: string;
  readonly sslmode: SslMode;
  readonly sslrootcert?: string;
  readonly sslcert?: string;
  readonly sslkey?: string;
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
  const database = checkName('database', given.database ?? refuse('The connection lacks a database.'));
  const username = checkName('username', given.username ?? refuse('The connection lacks a username.'));
  const password = given.password ?? '';
  if (/[\0\r\n]/.test(password)) refuse('The password must not contain line breaks.');
  if (/[\r\n]/.test(username)) refuse('The username must not contain line breaks.');
  const sslmode = given.sslmode ?? 'prefer';
  if (sslmode === 'verify-ca' && !given.sslrootcert) {
    refuse(
      'sslmode verify-ca needs sslrootcert: any public authority would do otherwise.',
      'Give sslrootcert, or use verify-full.',
    );
  }
  if ((given.sslcert === undefined) !== (given.sslkey === undefined))
    refuse('sslcert and sslkey belong together.');
  const { sslrootcert, sslcert, sslkey } = given;
  for (const [name, text] of Object.entries({ sslrootcert, sslcert, sslkey })) {
    if (text !== undefined && !text.includes('-----BEGIN '))
      refuse(`${name} must be PEM text, not the name of a file.`);
  }
  return {
    host,
    port: given.port ?? 3306,
    database,
    username,
    password,
    sslmode,
    ...(sslrootcert ? { sslrootcert } : {}),
    ...(sslcert && sslkey ? { sslcert, sslkey } : {}),
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
  const allowed = field === 'sslmode' ? `one of ${sslModes.join(', ')}` : (first?.message ?? 'valid');
  return refuse(`The field ${field} of the connection is wrong: ${allowed}.`);
}

function parseUrl(text: string): Partial<ConnectionInput> {
  if (!/^(mariadb|mysql):\/\//i.test(text)) refuse('The url must start with mariadb:// or mysql://.');
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return refuse(
      'The url is not readable.',
      'Characters such as @ : / ? # % in names and passwords are written %40 %3A %2F %3F %23 %25.',
    );
  }
  const result: Record<string, unknown> = {};
  if (url.hash !== '') refuse('The url must not contain #; in a password it is written %23.');
  if (url.hostname !== '') result.host = decoded('host', url.hostname.replace(/^\[(.*)\]$/, '$1'));
  if (url.port !== '') result.port = Number(url.port);
  if (url.username !== '') result.username = decoded('username', url.username);
  if (url.password !== '') result.password = decoded('password', url.password);
  if (url.pathname.length > 1) result.database = decoded('database', url.pathname.slice(1));
  for (const [name, value] of url.searchParams) {
    if (name !== 'sslmode') {
      const hint = name.startsWith('ssl')
        ? `Give ${name} as a field, with the PEM text itself.`
        : 'Leave it out; the only option is sslmode.';
      refuse(`The url has the option ${JSON.stringify(name)}, which is not possible here.`, hint);
    }
    if ('sslmode' in result || !sslModes.some((mode) => mode === value)) {
      refuse(`sslmode must be given once, as one of ${sslModes.join(', ')}.`);
    }
    result.sslmode = value;
  }
  return result;
}

function decoded(name: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse(`The ${name} in the url is not readable: % must be written %25.`);
  }
}

/**
 * One host over TCP. A path would be a socket in the file system of the *worker*, where the worker's own operating system
 * user may be trusted without a password; commas would be several hosts, of which dump and restore might meet different ones.
 */
function checkHost(host: string): string {
  if (host.startsWith('/') || host.startsWith('@')) {
    refuse(
      'The host must be a name or an address, not a socket.',
      'Connect over TCP, for example to localhost.',
    );
  }
  if (host.includes(',')) refuse('The connection names several hosts; only one is possible.');
  if (isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?$/.test(host)) {
    refuse('The host is neither a host name nor an IP address.');
  }
  return host;
}

const systemSchemas: ReadonlySet<string> = new Set([
  'mysql',
  'information_schema',
  'performance_schema',
  'sys',
]);

/** Names as the server takes them. */
function checkName(field: string, name: string): string {
  if (name.includes('\0')) refuse(`The ${field} must not contain NUL.`);
  const most = field === 'database' ? 64 : 128;
  if ([...name].length > most) refuse(`The ${field} is too long: MariaDB takes ${most} characters.`);
  if (field === 'database' && systemSchemas.has(name.toLowerCase()))
    refuse('The database must not be one that belongs to the server itself.');
  if (field === 'database' && name.endsWith(' ')) refuse('The name of a database cannot end with a space.');
  return name;
}

function refuse(message: string, hint?: string): never {
  throw new ForestayError('BadRequest', message, hint === undefined ? {} : { hint });
}
