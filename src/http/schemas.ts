import { type Static, Type } from 'typebox';

/** Pieces that the schemas of several resources share. */

/** A value or null, in the one form that is serialised without trying alternatives. */
export const NullableString = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description });
export const NullableInteger = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], description });
export const Nullable = <T>(schema: object, description: string) =>
  Type.Unsafe<T | null>({ ...schema, type: ['object', 'null'], description });

/** ISO 8601, UTC, three decimals, `Z`. */
export const Time = (description: string) =>
  Type.String({ format: 'date-time', description, examples: ['2021-04-21T01:30:03.832Z'] });
export const NullableTime = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date-time', description });

export const ErrorBody = Type.Object(
  {
    error: Type.String({
      description: 'One CamelCase word that identifies the condition.',
      examples: ['BackupNotFound'],
    }),
    description: Type.String({ description: 'For the user: what went wrong, and what to do about it.' }),
  },
  { $id: 'Error' },
);
export type ErrorBody = Static<typeof ErrorBody>;

export const MessageBody = Type.Object(
  { message: Type.String({ description: 'For the user.' }) },
  { $id: 'Message' },
);
export type MessageBody = Static<typeof MessageBody>;

export const TaskStatusWord = Type.Enum(['queued', 'running', 'done', 'failed', 'deleted'], {
  type: 'string',
  description: 'The status of the task.',
});

/**
 * What stands in paths and queries is text: it is documented as what it must be, and read by `numbers.ts`, so that a
 * wrong id is answered like one that does not exist.
 */
export const InstanceParams = Type.Object({
  guid: Type.String({ description: 'The ID of the service instance: the GUID that the broker gave it.' }),
});
export const InstanceAndId = (what: string) =>
  Type.Object({
    guid: InstanceParams.properties.guid,
    id: Type.Unsafe<string>({
      type: 'integer',
      minimum: 1,
      maximum: 2_147_483_647,
      description: `The internal ID of the ${what}.`,
    }),
  });

export const PageQuery = Type.Object({
  limit: Type.Optional(
    Type.Unsafe<string>({
      type: 'integer',
      minimum: 1,
      maximum: 1000,
      description:
        'Answer at most so many, and a `Link` header with `rel="next"` when there are more. Without it, all.',
    }),
  ),
  cursor: Type.Optional(
    Type.String({ description: 'Where to go on; taken from the `Link` header of the page before.' }),
  ),
});
export type PageQuery = Static<typeof PageQuery>;
