import { type Static, Type } from 'typebox';
import type { Connection } from '../../core/instance.ts';
import {
  addressIn,
  checkHost,
  checkPem,
  decoded,
  pem,
  readFields,
  readUrl,
  refuse,
} from '../server-connection.ts';

/** What may be said about a connection. Everything else, above all other options of libpq, is refused. */
export const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

export const connectionSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        title: 'Connection URL',
        description:
          'postgres://user:password@host:5432/database?sslmode=require — instead of the fields below.',
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
    port: Type.Optional(Type.Integer({ title: 'Port', minimum: 1, maximum: 65535, default: 5432 })),
    database: Type.Optional(Type.String({ title: 'Database', minLength: 1 })),
    username: Type.Optional(Type.String({ title: 'User name', minLength: 1 })),
    password: Type.Optional(Type.String({ title: 'Password', format: 'password', writeOnly: true })),
    sslmode: Type.Optional(
      Type.Enum([...sslModes], {
        title: 'TLS',
        description: 'As in libpq: verify-full is the only mode that knows whom it talks to.',
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
    parallel: Type.Optional(
      Type.Integer({
        title: 'Parallel jobs',
        description:
          'For large databases: so many connections back up and restore at once, by way of temp files of the worker.',
        minimum: 1,
        maximum: 16,
        default: 1,
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
  /** 1 when undefined. */
  readonly parallel?: number;
}

/** Reads a connection; the result is plain fields, also when it was given as a URL. Throws `BadRequest`. */
export function parseConnection(input: unknown): Connection {
  return { ...readTarget(input) };
}

/** The same with its type, for connections that were parsed before. */
export function readTarget(input: unknown): Target {
  const given = readFields(connectionSchema, input, parseUrl);
  const host = checkHost(given.host);
  const database = checkName('database', given.database ?? refuse('The connection lacks a database.'));
  const username = checkName('username', given.username ?? refuse('The connection lacks a username.'));
  const password = given.password ?? '';
  if (/[\0\r\n]/.test(password)) refuse('The password must not contain line breaks.');
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
  checkPem({ sslrootcert, sslcert, sslkey });
  return {
    host,
    port: given.port ?? 5432,
    database,
    username,
    password,
    sslmode,
    ...(sslrootcert ? { sslrootcert } : {}),
    ...(sslcert && sslkey ? { sslcert, sslkey } : {}),
    ...(given.parallel === undefined ? {} : { parallel: given.parallel }),
  };
}

function parseUrl(text: string): Partial<ConnectionInput> {
  if (!/^postgres(ql)?:\/\//i.test(text)) refuse('The url must start with postgres:// or postgresql://.');
  const url = readUrl(text);
  if (url.hash !== '') refuse('The url must not contain #; in a password it is written %23.');
  const result: Partial<ConnectionInput> = addressIn(url);
  if (url.pathname.length > 1) result.database = decoded('database', url.pathname.slice(1));
  for (const [name, value] of url.searchParams) {
    if (name !== 'sslmode') {
      const hint = name.startsWith('ssl')
        ? `Give ${name} as a field, with the PEM text itself.`
        : 'Leave it out; the only option is sslmode.';
      refuse(`The url has the option ${JSON.stringify(name)}, which is not possible here.`, hint);
    }
    const mode = sslModes.find((each) => each === value);
    if ('sslmode' in result || mode === undefined)
      return refuse(`sslmode must be given once, as one of ${sslModes.join(', ')}.`);
    result.sslmode = mode;
  }
  return result;
}

/** Longer names are cut by the server, so that two different ones could mean the same. */
function checkName(field: string, name: string): string {
  if (name.includes('\0')) refuse(`The ${field} must not contain NUL.`);
  if (Buffer.byteLength(name) > 63) refuse(`The ${field} is too long: PostgreSQL takes 63 bytes.`);
  return name;
}
