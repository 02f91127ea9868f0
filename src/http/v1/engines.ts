import { type Static, Type } from 'typebox';

export const EngineBody = Type.Object(
  {
    name: Type.String({ description: 'What `engine` says when an instance is registered.' }),
    connection_schema: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'JSON Schema of the connection.',
    }),
    restore_is_atomic: Type.Boolean({
      description: 'A restore becomes visible at one moment, whole or not at all.',
    }),
    not_included: Type.Array(Type.String(), { description: 'What a backup does not hold.' }),
    undo: Type.Boolean({ description: 'Restores can be undone for a while.' }),
  },
  { $id: 'Engine' },
);
export type EngineBody = Static<typeof EngineBody>;
