import { type Static, Type } from 'typebox';
import { recoveryPoints } from '../../operations/recovery-points.ts';
import { instanceOf } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { errors, listOf } from '../documented.ts';
import { InstanceParams, NullableInteger, NullableTime } from '../schemas.ts';

export const RecoveryPointBody = Type.Object(
  {
    store: Type.String({ description: 'The store that would have to serve alone.' }),
    role: Type.Enum(['primary', 'secondary'], { type: 'string' }),
    backup_id: NullableInteger('The newest backup that is whole there; null when there is none.'),
    taken_at: NullableTime('When that backup was begun: later changes of the data are not in it.'),
    age_seconds: NullableInteger('How long ago that was.'),
  },
  { $id: 'RecoveryPoint' },
);
export type RecoveryPointBody = Static<typeof RecoveryPointBody>;

export function recoveryPointRoutes(app: App, context: HttpContext): void {
  app.get(
    '/v1/instances/:guid/recovery-points',
    {
      config: { action: 'backup.view' },
      schema: {
        ...{ tags: ['Disaster recovery'], summary: 'What each store alone could bring back' },
        params: InstanceParams,
        response: { 200: listOf<RecoveryPointBody>(RecoveryPointBody, 'Primary store first.'), ...errors() },
      },
    },
    async (request): Promise<RecoveryPointBody[]> => {
      const instance = await instanceOf(context, request);
      const now = Date.now();
      return (await recoveryPoints(context.operations, instance.guid)).map(({ store, role, newest }) => ({
        store,
        role,
        backup_id: newest?.backupId ?? null,
        taken_at: newest?.takenAt.toISOString() ?? null,
        age_seconds: newest ? Math.max(0, Math.round((now - newest.takenAt.getTime()) / 1000)) : null,
      }));
    },
  );
}
