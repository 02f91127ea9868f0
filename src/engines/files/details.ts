import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../core/errors.ts';

/** What a backup says of the folder it was made of. `changes` and `warnings` are known when its stream has ended. */
export const DetailsSchema = Type.Object({
  path: Type.String(),
  /** Of GNU tar. */
  toolVersion: Type.String(),
  /** Whose the files are, numerically. */
  uids: Type.Array(Type.Integer({ minimum: 0 })),
  gids: Type.Array(Type.Integer({ minimum: 0 })),
  /** What changed while the folder was read, a sentence each; always empty unless the connection allows it. */
  changes: Type.Array(Type.String()),
  /** What tar said it could not keep, a sentence each. */
  warnings: Type.Array(Type.String()),
});

export type Details = Static<typeof DetailsSchema>;

export function parseDetails(details: unknown): Details {
  if (Value.Check(DetailsSchema, details)) return details;
  throw new ForestayError(
    'IncompatibleBackup',
    'The backup does not say what a restore of a folder needs to know.',
    {
      hint: 'It was made by another engine or version; its data is a tar archive.',
    },
  );
}
