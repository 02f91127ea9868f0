import { readFile } from 'node:fs/promises';
import type { EngineBody } from '../http/v1/engines.ts';
import { answered, readStdin, terminal } from './ask.ts';
import type { Client } from './client.ts';
import { usageError } from './errors.ts';

type Connection = Record<string, unknown>;

/** The part of JSON Schema that connections are described with. */
interface ConnectionSchema {
  readonly required?: readonly string[];
  readonly properties: Readonly<Record<string, FieldSchema>>;
}

interface FieldSchema {
  readonly type?: string;
  readonly title?: string;
  readonly description?: string;
  readonly format?: string;
  readonly writeOnly?: boolean;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly FieldSchema[];
}

/** Connection details from a file, from stdin where that is no terminal, or asked for as the engine describes them. */
export async function askConnection(
  client: Client,
  engineName: string,
  options: { file?: string | undefined; signal: AbortSignal },
): Promise<Connection> {
  const { file, signal } = options;
  if (file !== undefined && file !== '-') return parse(await readFile(file, 'utf8'), `The file ${file}`);
  if (file === '-' || !process.stdin.isTTY) return parse(await readStdin(signal), 'What came on stdin');
  const engines = await client.get<EngineBody[]>('/v1/engines');
  const engine = engines.find(({ name }) => name === engineName);
  if (!engine) {
    throw usageError(
      `There is no engine "${engineName}".`,
      `The engines of this site are: ${engines.map(({ name }) => name).join(', ')}.`,
    );
  }
  return askFields(engine.connection_schema as unknown as ConnectionSchema, signal);
}

async function askFields(schema: ConnectionSchema, signal: AbortSignal): Promise<Connection> {
  const connection: Connection = {};
  for (const [name, field] of Object.entries(schema.properties)) {
    const value = await askField(name, field, schema.required?.includes(name) ?? false, signal);
    if (value !== undefined) connection[name] = value;
  }
  return connection;
}

async function askField(
  name: string,
  field: FieldSchema,
  required: boolean,
  signal: AbortSignal,
): Promise<unknown> {
  const clack = await import('@clack/prompts');
  const title = field.title ?? name;
  const message = field.description ? `${title}: ${field.description}` : title;
  const choices = choicesOf(field);
  if (choices.length > 0) {
    const options = [
      ...choices.map((value) => ({ value, label: value })),
      ...(required ? [] : [{ value: '', label: '(not set)' }]),
    ];
    const initialValue = typeof field.default === 'string' ? field.default : '';
    return (
      answered(clack, await clack.select({ message, options, initialValue, ...terminal(signal) })) ||
      undefined
    );
  }
  if (field.type === 'boolean') {
    return answered(
      clack,
      await clack.confirm({ message, initialValue: field.default === true, ...terminal(signal) }),
    );
  }
  const validate = (value: string | undefined) =>
    complaint(value ?? '', field, required && field.default === undefined);
  const answer = isSecret(name, field)
    ? await clack.password({ message, validate, ...terminal(signal) })
    : await clack.text({ message, validate, placeholder: placeholder(field, required), ...terminal(signal) });
  return parseField(answered(clack, answer), field);
}

function complaint(value: string, field: FieldSchema, required: boolean): string | undefined {
  if (value === '') return required ? 'It is needed.' : undefined;
  try {
    parseField(value, field);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Undefined leaves the field out: the engine then uses its default. */
function parseField(text: string | undefined, field: FieldSchema): unknown {
  if (!text) return undefined;
  if (field.type === 'integer' || field.type === 'number') {
    const value = Number(text);
    if (Number.isNaN(value) || (field.type === 'integer' && !Number.isInteger(value)))
      throw usageError('It must be a number.');
    return value;
  }
  if (field.type === 'object' || field.type === 'array') return JSON.parse(text);
  return text;
}

function choicesOf(field: FieldSchema): string[] {
  const values = field.enum ?? field.anyOf?.map((choice) => choice.const) ?? [];
  return values.every((value) => typeof value === 'string') ? (values as string[]) : [];
}

function isSecret(name: string, field: FieldSchema): boolean {
  return field.format === 'password' || field.writeOnly === true || /password|secret|token/i.test(name);
}

function placeholder(field: FieldSchema, required: boolean): string {
  if (field.default !== undefined) return `${field.default} unless you enter another`;
  return required ? '' : 'may be left empty';
}

/** What was read is not repeated in the error: it holds a password. */
function parse(text: string, where: string): Connection {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Connection;
  } catch {
    // Said below.
  }
  throw usageError(
    `${where} is not a JSON object.`,
    'It holds the connection, for example: {"host": "db.example.org", "username": "backup", "password": "…"}',
  );
}
