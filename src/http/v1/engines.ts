import { type Static, Type } from 'typebox';
import type { App, HttpContext } from '../context.ts';
import { errors, listOf } from '../documented.ts';

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
    restore_plan: Type.Boolean({ description: 'What a restore would change can be asked for before.' }),
  },
  { $id: 'Engine' },
);
export type EngineBody = Static<typeof EngineBody>;

export function engineRoutes(app: App, { operations }: HttpContext): void {
  app.get(
    '/v1/engines',
    {
      config: { action: 'engine.list' },
      schema: {
        ...{ tags: ['Instances'], summary: 'List the engines: what kinds of instance can be registered' },
        response: { 200: listOf<EngineBody>(EngineBody, 'The engines of this site.'), ...errors() },
      },
    },
    async () =>
      [...operations.engines.values()].map((engine) => ({
        name: engine.name,
        connection_schema: engine.connectionSchema as unknown as Record<string, unknown>,
        restore_is_atomic: engine.restoreIsAtomic,
        not_included: [...engine.notIncluded],
        undo: engine.undo !== undefined,
        restore_plan: engine.planRestore !== undefined,
      })),
  );
}
