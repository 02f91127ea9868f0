import { type Static, Type } from 'typebox';
import { newestKey } from '../../db/instances.ts';
import { setAutoBackupExclusion } from '../../operations/instances.ts';
import { setKey } from '../../operations/set-key.ts';
import { instanceOf, requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, errors, ref } from '../documented.ts';
import { InstanceParams, MessageBody } from '../schemas.ts';

export const BackupConfigBody = Type.Object(
  {
    exclude_from_auto_backup: Type.Boolean({
      description: 'No scheduled backups; asked-for ones are made all the same.',
    }),
    min_backup_count: Type.Integer({ description: 'The newest so many good backups stay, however old.' }),
    retention_time: Type.Integer({ description: 'Days after which other backups are removed.' }),
    min_encryption_key_length: Type.Integer({ description: 'Characters that a key must have.' }),
    backup_guid: Type.String({ description: 'The GUID under which the backups lie in the store.' }),
    key_version: Type.Integer({ description: 'The version of the key that the next backup is made with.' }),
    key_set_by: Type.Enum(['system', 'user'], {
      type: 'string',
      description: 'Who set that key. Backups are downloadable with keys of users only.',
    }),
  },
  { $id: 'BackupConfig' },
);
export type BackupConfigBody = Static<typeof BackupConfigBody>;

export const ChangeBackupConfigRequest = Type.Object({
  encryption_key: Type.Optional(
    Type.String({
      description:
        'The key of backups from now on; older ones keep theirs. It is never answered: keep it in a safe place.',
    }),
  ),
  exclude_from_auto_backup: Type.Optional(Type.Boolean()),
});
export type ChangeBackupConfigRequest = Static<typeof ChangeBackupConfigRequest>;

const tags = ['Backup config'];

export function backupConfigRoutes(app: App, context: HttpContext): void {
  const { operations } = context;

  app.get(
    '/v1/instances/:guid/backup-config',
    {
      config: { action: 'config.view' },
      schema: {
        ...{ tags, summary: 'Get how the instance is backed up', params: InstanceParams },
        response: { 200: ref<BackupConfigBody>(BackupConfigBody, 'The settings; never a key.'), ...errors() },
      },
    },
    async (request) => {
      const instance = await instanceOf(context, request);
      const key = await newestKey(operations.db, instance.id);
      return {
        exclude_from_auto_backup: instance.excludeFromAutoBackup,
        min_backup_count: operations.retention.minBackupCount,
        retention_time: operations.retention.retentionDays,
        min_encryption_key_length: operations.minKeyLength,
        backup_guid: instance.backupGuid,
        key_version: key.version,
        key_set_by: key.setBy,
      };
    },
  );

  app.patch(
    '/v1/instances/:guid/backup-config',
    {
      config: { action: 'config.change' },
      schema: {
        ...{ tags, summary: 'Change how the instance is backed up', params: InstanceParams },
        body: ChangeBackupConfigRequest,
        response: { 200: ref<MessageBody>(MessageBody, 'What is named is changed.'), ...bodyErrors() },
      },
    },
    async (request) => {
      const guid = requireGuid(request);
      const { encryption_key: key, exclude_from_auto_backup: excluded } = request.body;
      // Asked for first, so that a request that names nothing says whether there is such an instance, too.
      await instanceOf(context, request);
      // The key first: it may be refused, and then nothing has changed.
      if (key !== undefined) await setKey(operations, guid, key);
      if (excluded !== undefined) await setAutoBackupExclusion(operations, guid, excluded);
      return { message: 'The backup config has been updated.' };
    },
  );
}
