import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';

const noOther = { additionalProperties: false } as const;
const Argv = Type.Array(Type.String({ pattern: '^[^\\0]*$' }), { minItems: 1 });

const Parameter = Type.Object(
  {
    description: Type.Optional(Type.String()),
    /** A regular expression that the whole value must match. */
    pattern: Type.Optional(Type.String()),
    /** Never shown, and taken out of what the command says. */
    secret: Type.Optional(Type.Boolean()),
    optional: Type.Optional(Type.Boolean()),
  },
  noOther,
);

const CommandSchema = Type.Object(
  {
    description: Type.Optional(Type.String()),
    backup: Argv,
    restore: Argv,
    /** Exits 0 when the instance can be reached; each line it writes to stdout is a warning. */
    probe: Type.Optional(Argv),
    /** Writes the version of the data service. */
    version: Type.Optional(Argv),
    /** Ends what earlier attempts left; writes `switched` or `clean`. */
    settle: Type.Optional(Argv),
    undo: Type.Optional(Argv),
    discard: Type.Optional(Argv),
    timeout_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
    stall_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
    suffix: Type.String({ pattern: '^(\\.[A-Za-z0-9_-]+)+$' }),
    media_type: Type.String({ pattern: '^[a-z]+/[A-Za-z0-9.+_-]+$' }),
    compressed: Type.Optional(Type.Boolean()),
    restore_is_atomic: Type.Boolean(),
    env: Type.Optional(
      Type.Record(Type.String({ pattern: '^(?!FORESTAY_)[A-Za-z_][A-Za-z0-9_]*$' }), Type.String(), noOther),
    ),
    parameters: Type.Optional(Type.Record(Type.String({ pattern: '^[A-Z][A-Z0-9_]*$' }), Parameter, noOther)),
    not_included: Type.Optional(Type.Array(Type.String())),
  },
  noOther,
);

const FileSchema = Type.Record(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }), CommandSchema, noOther);

export interface Command extends Static<typeof CommandSchema> {
  readonly name: string;
  /** Where its programs run: the folder of the file. */
  readonly folder: string;
}

export type Commands = ReadonlyMap<string, Command>;

/** Reads and checks the file. Throws `Misconfigured`, saying what is wrong where; never a value, which may be a secret. */
export function readCommands(file: string): Commands {
  const path = resolve(file);
  const parsed = parse(path);
  if (!Value.Check(FileSchema, parsed)) {
    const [first] = Value.Errors(FileSchema, parsed);
    throw wrong(path, `${first?.instancePath || 'the file'} ${first?.message ?? 'is not right'}`);
  }
  const commands = Object.entries(parsed).map(([name, command]) => ({
    ...command,
    name,
    folder: dirname(path),
  }));
  for (const command of commands) check(path, command);
  return new Map(commands.map((command) => [command.name, command]));
}

function parse(path: string): unknown {
  let text: string;
  try {
    if ((statSync(path).mode & 0o022) !== 0) {
      throw wrong(
        path,
        'others than its owner may write to it, so they could run programs as Forestay',
        'chmod go-w it.',
      );
    }
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ForestayError) throw cause;
    throw wrong(path, 'it cannot be read', 'Check the path and who may read it.', cause);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw wrong(path, 'it is not JSON');
  }
}

function check(path: string, command: Command): void {
  const { name, undo, discard, settle, parameters } = command;
  if ((undo === undefined) !== (discard === undefined) || (undo && !settle)) {
    throw wrong(path, `${name} must have undo, discard and settle, or neither undo nor discard`);
  }
  for (const [parameter, { pattern }] of Object.entries(parameters ?? {})) {
    if (pattern === undefined) continue;
    try {
      new RegExp(pattern, 'u');
    } catch {
      throw wrong(path, `the pattern of ${parameter} of ${name} is no regular expression`);
    }
  }
}

function wrong(path: string, why: string, hint?: string, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', `FORESTAY_COMMANDS_FILE, ${path}: ${why}.`, {
    hint: hint ?? 'docs/engines/command.md describes the file.',
    cause,
  });
}
