import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';
import { restorePrefix } from '../folder-names.ts';
import { type Limits, type RefusalCode, readPath } from '../roots.ts';

export const connectionSchema = Type.Object(
  {
    path: Type.String({
      title: 'Folder',
      description:
        'Absolute path on the machine of the worker, below one of the folders in FORESTAY_FILES_ROOTS.',
      minLength: 2,
      maxLength: 4000,
    }),
    changes: Type.Optional(
      Type.Enum(['fail', 'report'], {
        title: 'When something changes during a backup',
        description:
          'fail: the backup fails and is tried again. report: it is kept, and a restore of it says what may be mixed.',
        default: 'fail',
      }),
    ),
  },
  { additionalProperties: false },
);

export interface Target {
  readonly path: string;
  readonly changes: 'fail' | 'report';
  readonly limits: Limits;
}

/** Reads a connection from outside. Throws `BadRequest`. */
export function parseConnection(input: unknown, limits: Limits): Connection {
  const { path: folder, changes } = read(input, limits, 'BadRequest');
  return { path: folder, changes };
}

/** The same with its type, for connections that were parsed before; the limits may have become narrower since. */
export function readTarget(input: unknown, limits: Limits): Target {
  return read(input, limits, 'InstanceRefused');
}

function read(input: unknown, limits: Limits, code: RefusalCode): Target {
  const refuse = (message: string, hint?: string): never => {
    throw new ForestayError(code, message, hint === undefined ? {} : { hint });
  };
  if (!isConnection(input)) {
    const [first] = Value.Errors(connectionSchema, input);
    const field = first?.instancePath.split('/')[1];
    return refuse(
      `The connection is wrong: ${field ? `${field} ` : ''}${first?.message ?? 'it must be an object'}.`,
      'Its fields are path, and changes (fail or report).',
    );
  }
  const folder = readPath(input.path, limits, code);
  if (path.basename(folder).startsWith(restorePrefix)) {
    refuse(
      `Names that begin with ${restorePrefix} are those of staging, which is in no backup.`,
      'Rename the folder.',
    );
  }
  return { path: folder, changes: input.changes ?? 'fail', limits };
}

function isConnection(input: unknown): input is Static<typeof connectionSchema> {
  return Value.Check(connectionSchema, input);
}
