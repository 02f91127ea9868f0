import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { ForestayError } from '../../../src/core/errors.ts';

export const connectionSchema = Type.Object(
  { file: Type.String({ title: 'File', pattern: '^/' }) },
  { additionalProperties: false },
);
export type Target = Static<typeof connectionSchema>;

export function readTarget(input: unknown): Target {
  if (Value.Check(connectionSchema, input)) return input;
  throw new ForestayError('BadRequest', 'The connection is wrong.', {
    hint: 'Its only field is file, an absolute path.',
  });
}
