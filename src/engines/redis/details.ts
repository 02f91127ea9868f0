import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';

const Count = Type.Integer({ minimum: 0 });

/** What a backup says of itself. Everything that is read off the RDB is known when its stream has ended. */
export const DetailsSchema = Type.Object({
  product: Type.Enum(['redis', 'valkey']),
  /** Of the format: a server takes values of its own version and older ones. */
  rdbVersion: Count,
  /** Bytes that the server used when the copy was made. */
  usedMemory: Count,
  databases: Type.Array(
    Type.Object({
      db: Count,
      keys: Count,
      /** How many of them expire some time. */
      expiring: Count,
    }),
  ),
  /** Libraries of functions. */
  functions: Count,
  /** Keys whose values are of types that modules brought. */
  moduleKeys: Count,
  /** Modules with data that belongs to no key, which cannot be restored. */
  moduleData: Type.Array(Type.String()),
  /** Databases of restores of ours (replaced data that is kept for an undo), which are not in the backup. */
  leftOut: Type.Array(Count),
});

export type Details = Static<typeof DetailsSchema>;

export function parseDetails(details: unknown): Details {
  if (Value.Check(DetailsSchema, details)) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup does not say what a restore of Redis needs to know.',
    { hint: 'It was made by another engine or version; its data is an RDB file.' },
  );
}
