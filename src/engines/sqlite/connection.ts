import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';
import { type Limits, type RefusalCode, readPath } from '../roots.ts';

export const connectionSchema = Type.Object(
  {
    path: Type.String({
      title: 'Database file',
      description:
        'Absolute path on the machine of the worker, below one of the folders in FORESTAY_FILES_ROOTS.',
      minLength: 2,
      maxLength: 4000,
    }),
  },
  { additionalProperties: false },
);

export interface Target {
  readonly path: string;
  readonly limits: Limits;
}

/** Reads a connection from outside. Throws `BadRequest`. */
export function parseConnection(input: unknown, limits: Limits): Connection {
  return { path: read(input, limits, 'BadRequest').path };
}

/** The same with its type, for connections that were parsed before; the limits may have become narrower since. */
export function readTarget(input: unknown, limits: Limits): Target {
  return read(input, limits, 'InstanceRefused');
}

function read(input: unknown, limits: Limits, code: RefusalCode): Target {
  if (!isConnection(input)) {
    throw new ForestayError(code, 'The connection is wrong.', {
      hint: 'Its only field is path: the absolute path of the database file.',
    });
  }
  return { path: readPath(input.path, limits, code), limits };
}

function isConnection(input: unknown): input is Static<typeof connectionSchema> {
  return Value.Check(connectionSchema, input);
}
