import { type Static, Type } from 'typebox';
import { ForestayError } from '../../core/errors.ts';
import { findRestore, listRestores, type Restore } from '../../db/restores.ts';
import { cancelRestore } from '../../operations/cancel.ts';
import { undoRestore } from '../../operations/undo-restore.ts';
import { instanceOf, requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, errors, listOf, ref } from '../documented.ts';
import { parseId } from '../numbers.ts';
import { answerPage } from '../pages.ts';
import { requestSignal } from '../request-signal.ts';
import {
  InstanceAndId,
  InstanceParams,
  MessageBody,
  Nullable,
  NullableInteger,
  NullableString,
  NullableTime,
  PageQuery,
  TaskStatusWord,
  Time,
} from '../schemas.ts';
import { ProgressBody, TaskErrorBody, taskFields } from './task-fields.ts';

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
      '`staged`: built beside and switched. `in place`: changed where it is, in one transaction where `restore_is_atomic` of the engine says so. Null until done.',
    ),
    switch_ms: NullableInteger('How long the instance took no connections, in milliseconds.'),
    not_kept: Type.Unsafe<string[] | null>({
      type: ['array', 'null'],
      items: { type: 'string' },
      description:
        'What the backup holds that the instance could not take, a sentence each; null until done.',
    }),
    notes: Type.Unsafe<string[] | null>({
      type: ['array', 'null'],
      items: { type: 'string' },
      description:
        'What was noticed while the backup was looked for and read, a sentence each: that a copy in another store was used, say; null until done.',
    }),
    undo_until: NullableTime('Until when the replaced data is kept for an undo; null when there is none.'),
    undone_at: NullableTime('When the restore was undone.'),
  },
  { $id: 'Restore' },
);
export type RestoreBody = Static<typeof RestoreBody>;

const tags = ['Restores'];
const params = InstanceAndId('restore');

export function restoreRoutes(app: App, context: HttpContext): void {
  const { operations } = context;

  app.get(
    '/v1/instances/:guid/restores',
    {
      config: { action: 'restore.view' },
      schema: {
        ...{ tags, summary: 'List all restores', params: InstanceParams, querystring: PageQuery },
        response: { 200: listOf<RestoreBody>(RestoreBody, 'Newest first.'), ...errors() },
      },
    },
    async (request, reply) => {
      const instance = await instanceOf(context, request);
      return answerPage(request, reply, context, async (page) =>
        (await listRestores(operations.db, instance.id, page)).map(bodyOf),
      );
    },
  );

  app.get(
    '/v1/instances/:guid/restores/:id',
    {
      config: { action: 'restore.view' },
      schema: {
        ...{ tags, summary: 'Get one restore', params },
        response: { 200: ref<RestoreBody>(RestoreBody, 'The restore.'), ...errors() },
      },
    },
    async (request) => {
      const instance = await instanceOf(context, request);
      const id = parseId(request.params.id);
      const restore = id && (await findRestore(operations.db, instance.id, id));
      if (!restore) throw restoreNotFound();
      return bodyOf(restore);
    },
  );

  app.post(
    '/v1/instances/:guid/restores/:id/cancel',
    {
      config: { action: 'restore.cancel' },
      schema: {
        ...{ tags, summary: 'Cancel a restore', params },
        response: {
          200: ref<MessageBody>(
            MessageBody,
            'A queued one is over, a running one within seconds, unless it has switched.',
          ),
          ...bodyErrors(409),
        },
      },
    },
    async (request) => {
      await cancelRestore(operations, requireGuid(request), requireId(request.params.id));
      return { message: 'The restore is being canceled.' };
    },
  );

  app.post(
    '/v1/instances/:guid/restores/:id/undo',
    {
      config: { action: 'restore.undo' },
      schema: {
        ...{ tags, summary: 'Undo a restore: put back the data that it replaced', params },
        response: {
          200: ref<MessageBody>(MessageBody, 'The replaced data is back.'),
          ...bodyErrors(409, 422, 502),
        },
      },
    },
    async (request, reply) => {
      await undoRestore(operations, requireGuid(request), requireId(request.params.id), requestSignal(reply));
      return { message: 'The restore has been undone: the instance has the data from before it.' };
    },
  );
}

function bodyOf(restore: Restore): RestoreBody {
  return {
    id: restore.id,
    backup_id: restore.backupId,
    metadata: { restored_from: restore.restoredFrom.toISOString() },
    ...taskFields(restore.task),
    method: restore.method,
    switch_ms: restore.switchMs,
    not_kept: restore.notKept && [...restore.notKept],
    notes: restore.notes && [...restore.notes],
    undo_until: restore.undoUntil?.toISOString() ?? null,
    undone_at: restore.undoneAt?.toISOString() ?? null,
  };
}

function requireId(text: string): number {
  const id = parseId(text);
  if (id === undefined) throw restoreNotFound();
  return id;
}

function restoreNotFound(): ForestayError {
  return new ForestayError('RestoreNotFound', 'There is no such restore of this instance.');
}
