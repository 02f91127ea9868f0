import { type Static, Type } from 'typebox';
import { Nullable, NullableString, NullableTime, TaskStatusWord, Time } from '../schemas.ts';
import { ProgressBody, TaskErrorBody } from './task-fields.ts';

export const BackupBody = Type.Object(
  {
    id: Type.Integer({ description: 'The internal ID of the backup.' }),
    backup_id: Type.String({
      description:
        'The ID of the backup in the store, `<backup_guid>-<epoch milliseconds>`; names it for a fork.',
    }),
    size: Type.Integer({ description: 'Bytes of the stored backup; 0 until it is done.' }),
    status: TaskStatusWord,
    triggered_at: Time('When the backup was asked for.'),
    started_at: NullableTime('When a worker took it; null while it is queued for the first time.'),
    finished_at: Time('When the status last changed.'),
    downloadable: Type.Boolean({ description: 'Done, and made with the newest key that the user set.' }),
    error: Nullable<Static<typeof TaskErrorBody>>(
      TaskErrorBody,
      'Why it failed, or why its last attempt did.',
    ),
    progress: Nullable<Static<typeof ProgressBody>>(
      ProgressBody,
      'What it is doing; null unless it is running.',
    ),
    key_version: Type.Integer({ description: 'The version of the key that opens it.' }),
    sha256: NullableString('Of the stored bytes, in hex; null until done.'),
    engine_version: NullableString('Version of the server the data came from; null until done.'),
    attempt: Type.Integer({ description: 'How many times a worker started it.' }),
  },
  { $id: 'Backup' },
);
export type BackupBody = Static<typeof BackupBody>;

export const BackupRequestedBody = Type.Object(
  {
    id: Type.Integer({ description: 'The ID of the backup.' }),
    message: Type.String({ description: 'For the user.' }),
  },
  { $id: 'BackupRequested' },
);
export type BackupRequestedBody = Static<typeof BackupRequestedBody>;

export const RestoreRequestedBody = Type.Object(
  {
    id: Type.Integer({ description: 'The ID of the restore.' }),
    restore_id: Type.Integer({ description: 'The same: clients of either kind exist.' }),
  },
  { $id: 'RestoreRequested' },
);
export type RestoreRequestedBody = Static<typeof RestoreRequestedBody>;
