import { type Static, Type } from 'typebox';
import { limitWrongKeys } from '../../auth/attempts.ts';
import { requestRecovery } from '../../operations/recover.ts';
import { prepareRecovery } from '../../operations/set-key.ts';
import { requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, IdempotencyHeaders, ref } from '../documented.ts';
import { idempotently } from '../idempotency.ts';
import { requestSignal } from '../request-signal.ts';
import { InstanceParams } from '../schemas.ts';

export const PrepareRequest = Type.Object({
  encryption_key: Type.Optional(
    Type.String({
      description: 'Sets the key of backups from now on. It is never answered: keep it in a safe place.',
    }),
  ),
});
export type PrepareRequest = Static<typeof PrepareRequest>;

export const PreparedBody = Type.Object(
  {
    backup_guid: Type.String({
      description: 'The GUID under which the backups of the instance lie in the stores.',
    }),
  },
  { $id: 'Prepared' },
);
export type PreparedBody = Static<typeof PreparedBody>;

export const PerformRequest = Type.Object({
  backup_guid: Type.String({
    minLength: 1,
    description:
      'The `backup_guid` of the originating instance: its newest backup. Or a `backup_id`: exactly that backup.',
  }),
  encryption_key: Type.String({ minLength: 1, description: 'The key that the backup was made with.' }),
});
export type PerformRequest = Static<typeof PerformRequest>;

export const PerformedBody = Type.Object(
  {
    restore_id: Type.Integer({ description: 'The internal ID of the restore in the destination instance.' }),
  },
  { $id: 'Performed' },
);
export type PerformedBody = Static<typeof PerformedBody>;

const tags = ['Disaster recovery'];

export function disasterRecoveryRoutes(app: App, context: HttpContext): void {
  const { operations } = context;

  app.post(
    '/v1/instances/:guid/disaster-recovery/prepare',
    {
      config: { action: 'recovery.prepare' },
      schema: {
        ...{ tags, summary: 'Prepare a disaster recovery', params: InstanceParams, body: PrepareRequest },
        response: {
          200: ref<PreparedBody>(PreparedBody, 'The request has been processed successfully.'),
          ...bodyErrors(409, 502, 504),
        },
      },
    },
    async (request) => {
      const { backupGuid } = await prepareRecovery(
        operations,
        requireGuid(request),
        request.body.encryption_key,
      );
      return { backup_guid: backupGuid };
    },
  );

  app.post(
    '/v1/instances/:guid/disaster-recovery/perform',
    {
      config: { action: 'recovery.perform' },
      schema: {
        ...{ tags, summary: 'Perform a disaster recovery', params: InstanceParams, body: PerformRequest },
        headers: IdempotencyHeaders,
        response: {
          202: ref<PerformedBody>(
            PerformedBody,
            'The restore has been scheduled in the destination instance.',
          ),
          ...bodyErrors(409, 422, 502, 504),
        },
      },
    },
    async (request, reply) => {
      const guid = requireGuid(request);
      const wanted = { backupGuid: request.body.backup_guid, encryptionKey: request.body.encryption_key };
      const body = await limitWrongKeys(operations.db, guid, () =>
        idempotently(context, request, async (once) => {
          const { id } = await requestRecovery(once, guid, wanted, requestSignal(reply));
          return { restore_id: id };
        }),
      );
      return reply.code(202).send(body);
    },
  );
}
