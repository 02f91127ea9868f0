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

/** What may be said about a connection. Everything else is refused. */
export const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof sslModes)[number];

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
  const given = readFields(connectionSchema, input, parseUrl);
  const host = checkHost(given.host);
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
  checkPem({ sslrootcert, sslcert, sslkey });
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

function parseUrl(text: string): Partial<ConnectionInput> {
  if (!/^(mariadb|mysql):\/\//i.test(text)) refuse('The url must start with mariadb:// or mysql://.');
  const url = readUrl(text);
  if (url.hash !== '') refuse('The url must not contain #; in a password it is written %23.');
  const result: Record<string, unknown> = { ...addressIn(url) };
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
