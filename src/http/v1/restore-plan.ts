import { type Static, Type } from 'typebox';
import { ForestayError } from '../../core/errors.ts';
import { planRestore } from '../../operations/plan-restore.ts';
import { requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { errors, ref } from '../documented.ts';
import { parseId } from '../numbers.ts';
import { requestSignal } from '../request-signal.ts';
import { InstanceAndId, NullableString } from '../schemas.ts';

const thing = {
  kind: Type.String({ description: 'What it is, in the words of the engine: `queue`.' }),
  name: Type.String(),
  within: NullableString(
    'Where in the instance it is: `vhost orders`; null where that is the whole instance.',
  ),
};

export const RestorePlanBody = Type.Object(
  {
    added: Type.Array(Type.Object(thing), { description: 'In the backup, and not in the instance.' }),
    changed: Type.Array(
      Type.Object({
        ...thing,
        differs: Type.Array(Type.String({ description: 'What of it is different.' })),
      }),
    ),
    removed: Type.Array(Type.Object(thing), { description: 'In the instance, and not in the backup.' }),
    not_kept: Type.Array(Type.String(), {
      description: 'What would stay different from the backup, a sentence each.',
    }),
  },
  { $id: 'RestorePlan' },
);
export type RestorePlanBody = Static<typeof RestorePlanBody>;

export function restorePlanRoutes(app: App, { operations }: HttpContext): void {
  app.get(
    '/v1/instances/:guid/backups/:id/restore-plan',
    {
      config: { action: 'restore.plan' },
      schema: {
        tags: ['Restores'],
        summary: 'Show what a restore would change, without changing anything',
        params: InstanceAndId('backup'),
        response: {
          200: ref<RestorePlanBody>(RestorePlanBody, 'What a restore at this moment would do.'),
          ...errors(409, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const guid = requireGuid(request);
      const id = parseId(request.params.id);
      if (id === undefined)
        throw new ForestayError('BackupNotFound', 'There is no such backup of this instance.');
      const plan = await planRestore(operations, guid, id, requestSignal(reply));
      return {
        added: [...plan.added],
        changed: plan.changed.map((change) => ({ ...change, differs: [...change.differs] })),
        removed: [...plan.removed],
        not_kept: [...plan.notKept],
      };
    },
  );
}
