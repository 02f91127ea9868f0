import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';
import type { Command, Commands } from './commands-file.ts';

export const connectionSchema = Type.Object(
  {
    command: Type.String({
      title: 'Command',
      description: 'The name of one of the commands that operators set up in FORESTAY_COMMANDS_FILE.',
    }),
    parameters: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 4096 }), {
        title: 'Parameters',
        description: 'What the command needs to know of the instance; the command says which it takes.',
        writeOnly: true,
      }),
    ),
  },
  { additionalProperties: false },
);

/** A command with the parameters of one instance. */
export interface Target {
  readonly command: Command;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Reads a connection from outside. Throws `BadRequest`, naming no values: one may be a password. */
export function parseConnection(input: unknown, commands: Commands): Connection {
  const { command, parameters } = readTarget(input, commands);
  return { command: command.name, parameters };
}

/** The same with what the connection names. */
export function readTarget(input: unknown, commands: Commands): Target {
  if (!isConnection(input)) {
    return refuse(
      'The connection is wrong.',
      'Its fields are command, and parameters: an object with text in it.',
    );
  }
  const command = commands.get(input.command);
  if (!command) {
    return refuse(
      'There is no such command.',
      commands.size === 0
        ? 'An operator sets up commands in the file that FORESTAY_COMMANDS_FILE names.'
        : `The commands are: ${[...commands.keys()].join(', ')}.`,
    );
  }
  const known = command.parameters ?? {};
  const given = input.parameters ?? {};
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(known, name));
  if (unknown !== undefined) {
    const names = Object.keys(known).join(', ') || 'none';
    refuse(`The command takes no parameter ${JSON.stringify(unknown.slice(0, 100))}.`, `It takes: ${names}.`);
  }
  for (const [name, { optional, pattern, secret, description }] of Object.entries(known)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined && !optional) refuse(`The command needs the parameter ${name}.`, description);
    if (value === undefined) continue;
    const allowed = pattern ?? (secret ? secretPattern : plainPattern);
    if (/\p{Cc}/u.test(value) || !new RegExp(`^(?:${allowed})$`, 'u').test(value)) {
      refuse(
        `The parameter ${name} has a value that is not allowed.`,
        description ?? `It must match ${allowed}`,
      );
    }
  }
  return { command, parameters: { ...given } };
}

/** What no careless script takes for an option, a pattern, a path upwards or several words. */
const plainPattern = '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}';
const secretPattern = '.{1,1024}';

function isConnection(input: unknown): input is Static<typeof connectionSchema> {
  return Value.Check(connectionSchema, input);
}

function refuse(message: string, hint?: string): never {
  throw new ForestayError('BadRequest', message, hint === undefined ? {} : { hint });
}
