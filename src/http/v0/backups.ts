import { type Static, Type } from 'typebox';
import { type ForestayError, hasCode } from '../../core/errors.ts';
import { type ListedBackup, listBackupsOf } from '../../db/listings.ts';
import { listRestores, type Restore } from '../../db/restores.ts';
import { requestBackup } from '../../operations/request-backup.ts';
import { requestRestore } from '../../operations/request-restore.ts';
import { instanceNotFound, instanceOf, requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { ref, v0Errors } from '../documented.ts';
import { HttpError } from '../errors.ts';
import { parseId } from '../numbers.ts';
import { InstanceParams, TaskStatusWord, Time } from '../schemas.ts';

const TaskBody = Type.Object({
  id: Type.Integer({ description: 'The internal ID of the task.' }),
  task_id: Type.Integer({ description: 'The internal ID of the related backup/restore.' }),
  status: TaskStatusWord,
  created_at: Time('The date the backup task was created (queued).'),
  updated_at: Time('The date on which the status of the task was last changed.'),
});

export const V0ListBody = Type.Object(
  {
    id: Type.Integer({ description: 'The internal ID of the Service Instance.' }),
    instance_id: Type.String({ description: 'The GUID of the Service Instance.' }),
    backups: Type.Array(
      Type.Object({
        id: Type.Integer({ description: 'The internal ID of the backup.' }),
        instance_id: Type.Integer({ description: 'The internal ID of the related Service Instance.' }),
        backup_agent_task: TaskBody,
      }),
    ),
    restores: Type.Array(
      Type.Object({
        id: Type.Integer({ description: 'The internal ID of the restore.' }),
        instance_id: Type.Integer({ description: 'The internal ID of the related Service Instance.' }),
        backup_agent_tasks: Type.Array(TaskBody),
      }),
    ),
  },
  { $id: 'V0List' },
);
export type V0ListBody = Static<typeof V0ListBody>;

const Created = Type.Object({ id: Type.Integer(), message: Type.String() });
const Restored = Type.Object({
  restore_id: Type.Integer({ description: 'The internal ID of the restore.' }),
});

// The table says integers, the documented call sends strings: either is taken, and what is neither matches nothing.
const idSchema = { type: ['integer', 'string'] };
const RestoreRequest = Type.Unsafe<{ instance_id?: unknown; backup_id?: unknown }>({
  type: 'object',
  required: ['instance_id', 'backup_id'],
  properties: {
    instance_id: { ...idSchema, description: 'The internal ID of the Service Instance.' },
    backup_id: { ...idSchema, description: 'The internal ID of the backup.' },
  },
});

const tags = ['V0 (deprecated)'];

export function v0BackupRoutes(app: App, context: HttpContext): void {
  const { operations } = context;
  const url = '/service-instances/:guid/backups';

  app.get(
    url,
    {
      config: { action: 'backup.view' },
      schema: {
        ...{ tags, summary: 'List backups and restores', params: InstanceParams },
        response: { 200: ref<V0ListBody>(V0ListBody, 'Newest first.'), ...v0Errors() },
      },
    },
    async (request) => {
      const guid = requireGuid(request);
      const listed = await listBackupsOf(operations.db, guid, {});
      if (!listed) throw instanceNotFound();
      const { instanceId } = listed;
      const restores = await listRestores(operations.db, instanceId);
      return {
        id: instanceId,
        instance_id: guid,
        backups: listed.backups.map((backup) => backupBody(backup)),
        restores: restores.map((restore) => restoreBody(restore)),
      };
    },
  );

  app.post(
    url,
    {
      config: { action: 'backup.create' },
      schema: {
        ...{ tags, summary: 'Create a backup', params: InstanceParams },
        response: { 201: { ...Created, description: 'The backup has been scheduled.' }, ...v0Errors() },
      },
    },
    async (request, reply) => {
      const { id } = await requestBackup(operations, requireGuid(request));
      return reply.code(201).send({ id, message: 'The backup has been scheduled.' });
    },
  );

  app.post(
    `${url}/restore`,
    {
      config: { action: 'backup.restore' },
      // What is wrong with an id is answered 412, like an id that does not exist, so the schema only documents.
      validatorCompiler: () => (value: unknown) => ({ value }),
      schema: {
        ...{ tags, summary: 'Restore a backup', params: InstanceParams, body: RestoreRequest },
        response: {
          200: { ...Restored, description: 'The restore has been scheduled.' },
          ...v0Errors(409, 412),
        },
      },
    },
    async (request) => {
      const instance = await instanceOf(context, request);
      const body: { instance_id?: unknown; backup_id?: unknown } = Object(request.body);
      if (parseId(body.instance_id) !== instance.id) {
        throw precondition(`instance_id must be ${instance.id}, the internal ID of this instance.`);
      }
      const backupId = parseId(body.backup_id);
      if (backupId === undefined)
        throw precondition('backup_id must be the internal ID of a backup of this instance.');
      try {
        const { id } = await requestRestore(operations, instance.guid, backupId);
        return { restore_id: id };
      } catch (error) {
        if (hasCode(error, 'BackupNotFound', 'BackupNotRestorable')) throw precondition(describe(error));
        throw error;
      }
    },
  );
}

export function precondition(description: string): HttpError {
  return new HttpError(412, 'PreconditionFailed', description);
}

export function describe({ message, hint }: ForestayError): string {
  return hint === undefined ? message : `${message} ${hint}`;
}

function backupBody(backup: ListedBackup) {
  return {
    id: backup.id,
    instance_id: backup.instanceId,
    backup_agent_task: taskBody(backup.task, backup.id),
  };
}

function restoreBody(restore: Restore) {
  return {
    id: restore.id,
    instance_id: restore.instanceId,
    backup_agent_tasks: [taskBody(restore.task, restore.id)],
  };
}

function taskBody(task: ListedBackup['task'], ownerId: number) {
  return {
    id: task.id,
    task_id: ownerId,
    status: task.status,
    created_at: task.triggeredAt.toISOString(),
    updated_at: task.statusChangedAt.toISOString(),
  };
}
