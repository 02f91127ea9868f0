import { isIP } from 'node:net';
import { type Static, type TObject, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../core/errors.ts';

/**
 * For engines whose instances are servers: connections that are given as fields or as a URL. Whatever is wrong is refused
 * with `BadRequest`, in a sentence that never holds a value, which may be the password.
 */

/** The fields that a connection gives, those of its `url` among them; a text is a URL. None may be given twice. */
export function readFields<Schema extends TObject>(
  schema: Schema,
  input: unknown,
  parseUrl: (url: string) => Partial<Static<Schema>>,
): Omit<Static<Schema>, 'url'> {
  const given = typeof input === 'string' ? { url: input } : checked(schema, input);
  const { url, ...fields } = given as { url?: string };
  const fromUrl = url === undefined ? {} : parseUrl(url);
  for (const name of Object.keys(fromUrl)) {
    if (name in fields) refuse(`The connection gives ${name} twice: in the URL and as a field.`);
  }
  return { ...fields, ...fromUrl } as Omit<Static<Schema>, 'url'>;
}

/** A field of a schema: text in PEM that is no secret. */
export const pem = (title: string) => Type.String({ title, format: 'textarea', maxLength: 1024 * 1024 });

/** Throws `BadRequest`. */
export function refuse(message: string, hint?: string): never {
  throw new ForestayError('BadRequest', message, hint === undefined ? {} : { hint });
}

/** Refuses what is no URL at all; its scheme is the engine's business. */
export function readUrl(text: string): URL {
  return (
    URL.parse(text) ??
    refuse(
      'The url is not readable.',
      'Characters such as @ : / ? # % in names and passwords are written %40 %3A %2F %3F %23 %25.',
    )
  );
}

/** What a URL says of host, port, user and password, as far as it does. */
export function addressIn(url: URL): { host?: string; port?: number; username?: string; password?: string } {
  return {
    ...(url.hostname === '' ? {} : { host: decoded('host', url.hostname.replace(/^\[(.*)\]$/, '$1')) }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(url.username === '' ? {} : { username: decoded('username', url.username) }),
    ...(url.password === '' ? {} : { password: decoded('password', url.password) }),
  };
}

/** A part of a URL; `name` is that of the field it stands for. */
export function decoded(name: string, text: string): string {
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
export function checkHost(host: string | undefined): string {
  if (host === undefined) return refuse('The connection lacks a host.');
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

/** Certificates and keys are text: the name of a file would be one of the worker's. */
export function checkPem(fields: Readonly<Record<string, string | undefined>>): void {
  for (const [name, text] of Object.entries(fields)) {
    if (text !== undefined && !text.includes('-----BEGIN '))
      refuse(`${name} must be PEM text, not the name of a file.`);
  }
}

function checked(schema: TObject, input: unknown): object {
  if (Value.Check(schema, input)) return input;
  if (input === null || typeof input !== 'object') return refuse('The connection must be an object.');
  const known = Object.keys(schema.properties);
  const unknown = Object.keys(input).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    return refuse(
      `The connection has no field ${JSON.stringify(unknown)}.`,
      `Its fields are: ${known.join(', ')}.`,
    );
  }
  const [first] = Value.Errors(schema, input);
  const field = first?.instancePath.split('/')[1] ?? 'connection';
  const words = (schema.properties[field] as { enum?: readonly string[] } | undefined)?.enum;
  const allowed = words ? `one of ${words.join(', ')}` : (first?.message ?? 'valid');
  return refuse(`The field ${field} of the connection is wrong: ${allowed}.`);
}
