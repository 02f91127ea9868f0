import { type Static, Type } from 'typebox';

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
