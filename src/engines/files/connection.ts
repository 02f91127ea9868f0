import path from 'node:path';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';
import type { Connection } from '../../core/instance.ts';

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

/** What operators let this engine touch. Paths are absolute. */
export interface Limits {
  /** Folders below which instances may lie; the folders themselves are none. */
  readonly roots: readonly string[];
  /** Folders that no instance may be, hold or lie in: those of Forestay itself. */
  readonly forbidden: readonly string[];
}

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

function read(input: unknown, limits: Limits, code: 'BadRequest' | 'InstanceRefused'): Target {
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
  const folder = input.path.length > 1 ? input.path.replace(/\/+$/, '') : input.path;
  if (/\p{Cc}/u.test(folder)) refuse('The path must not contain control characters.');
  if (!path.isAbsolute(folder) || path.normalize(folder) !== folder) {
    refuse(
      'The path must be absolute, without "." or ".." or doubled slashes.',
      'Example: /srv/shop/uploads',
    );
  }
  assertAllowed(folder, limits, code);
  return { path: folder, changes: input.changes ?? 'fail', limits };
}

/** Throws unless the folder lies below a root and away from Forestay's own folders. */
export function assertAllowed(
  folder: string,
  limits: Limits,
  code: 'BadRequest' | 'InstanceRefused' = 'InstanceRefused',
): void {
  if (limits.roots.length === 0) {
    throw new ForestayError(code, 'No folder may be backed up on this site.', {
      hint: 'An operator allows some by naming the folders above them in FORESTAY_FILES_ROOTS.',
    });
  }
  if (!limits.roots.some((root) => isBelow(folder, root))) {
    throw new ForestayError(code, 'The folder does not lie below one of the folders that are allowed here.', {
      hint: 'Allowed are folders below (not equal to) those in FORESTAY_FILES_ROOTS.',
    });
  }
  if (limits.forbidden.some((own) => own === folder || isBelow(own, folder) || isBelow(folder, own))) {
    throw new ForestayError(code, 'The folder is, holds or lies in one of Forestay itself.', {
      hint: 'The data directory and the stores of Forestay cannot be instances.',
    });
  }
}

function isConnection(input: unknown): input is Static<typeof connectionSchema> {
  return Value.Check(connectionSchema, input);
}

function isBelow(folder: string, above: string): boolean {
  return folder !== above && folder.startsWith(above.endsWith('/') ? above : `${above}/`);
}
