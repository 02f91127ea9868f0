import { type Static, Type } from 'typebox';
import { Nullable, NullableInteger, NullableString, NullableTime, TaskStatusWord, Time } from '../schemas.ts';
import { ProgressBody, TaskErrorBody } from './task-fields.ts';

export const RestoreBody = Type.Object(
  {
    id: Type.Integer({ description: 'The internal ID of the restore.' }),
    backup_id: NullableInteger(
      'The internal ID of the backup; null when it was made at another site or of another instance.',
    ),
    metadata: Type.Object({ restored_from: Time('When the backup was taken.') }),
    status: TaskStatusWord,
    triggered_at: Time('When the restore was asked for.'),
    finished_at: Time('When the status last changed.'),
    error: Nullable<Static<typeof TaskErrorBody>>(
      TaskErrorBody,
      'Why it failed, or why its last attempt did.',
    ),
    progress: Nullable<Static<typeof ProgressBody>>(
      ProgressBody,
      'What it is doing; null unless it is running.',
    ),
    attempt: Type.Integer({ description: 'How many times a worker started it.' }),
    started_at: NullableTime('When a worker took it; null while it is queued for the first time.'),
    method: NullableString(
      '`staged`: built beside and switched. `in place`: in one transaction. Null until done.',
    ),
    switch_ms: NullableInteger('How long the instance took no connections, in milliseconds.'),
    not_kept: Type.Unsafe<string[] | null>({
      type: ['array', 'null'],
      items: { type: 'string' },
      description:
        'What the backup holds that the instance could not take, a sentence each; null until done.',
    }),
    undo_until: NullableTime('Until when the replaced data is kept for an undo; null when there is none.'),
    undone_at: NullableTime('When the restore was undone.'),
  },
  { $id: 'Restore' },
);
export type RestoreBody = Static<typeof RestoreBody>;
