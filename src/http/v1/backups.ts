import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { isDownloadable } from '../../core/backup.ts';
import { ForestayError } from '../../core/errors.ts';
import { shareReads } from '../../core/share-reads.ts';
import { findBackup } from '../../db/backups.ts';
import { copiesOf } from '../../db/copies.ts';
import { newestUserKeyVersion } from '../../db/instances.ts';
import { backupsOf, type ListedBackup, type Page } from '../../db/listings.ts';
import { mapReading, type Reading, read, readingKey, remembering } from '../../db/reading.ts';
import { cancelBackup } from '../../operations/cancel.ts';
import { deleteBackup } from '../../operations/delete-backup.ts';
import { requestBackup } from '../../operations/request-backup.ts';
import { requestRestore } from '../../operations/request-restore.ts';
import { guidOf, instanceNotFound, instanceOf, principalOf, requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, errors, IdempotencyHeaders, listOf, ref } from '../documented.ts';
import { idempotently } from '../idempotency.ts';
import { parseId } from '../numbers.ts';
import { answerPage } from '../pages.ts';
import { requestSignal } from '../request-signal.ts';
import {
  InstanceAndId,
  InstanceParams,
  MessageBody,
  Nullable,
  NullableString,
  NullableTime,
  PageQuery,
  TaskStatusWord,
  Time,
} from '../schemas.ts';
import { ProgressBody, TaskErrorBody, taskFields } from './task-fields.ts';

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
    copies: Type.Array(
      Type.Object({
        store: Type.String({ description: 'The secondary store.' }),
        status: TaskStatusWord,
        finished_at: Time('When the status last changed.'),
      }),
      { description: 'The copies in secondary stores.' },
    ),
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

/** Those who share a read share its text, too: making it costs as much as the rest of the request. */
const texts = new WeakMap<object, string>();

function textOf(items: object): string {
  const text = texts.get(items) ?? JSON.stringify(items);
  texts.set(items, text);
  return text;
}

const tags = ['Backups'];
const params = InstanceAndId('backup');

export function backupRoutes(app: App, context: HttpContext): void {
  const { operations } = context;
  // What clients poll: read along with the credential where that can be, and once for all who ask at the same moment.
  const list = shareReads(readingKey, (reading: Reading<BackupBody[] | undefined>) =>
    read(operations.db, reading),
  );
  const remember = remembering<BackupBody[] | undefined>();
  const along = (request: FastifyRequest) => {
    const guid = guidOf(request);
    return guid !== undefined && !request.url.includes('?') ? remember(listing(guid, {})) : undefined;
  };

  app.get(
    '/v1/instances/:guid/backups',
    {
      config: { action: 'backup.view', along },
      schema: {
        ...{ tags, summary: 'List all backups', params: InstanceParams, querystring: PageQuery },
        response: { 200: listOf<BackupBody>(BackupBody, 'Newest first.'), ...errors() },
      },
    },
    (request, reply) => {
      void reply.type('application/json; charset=utf-8').serializer(textOf);
      return answerPage(request, reply, context, async (page) => {
        const known = principalOf(request).along as BackupBody[] | undefined;
        const backups = known ?? (await list(listing(requireGuid(request), page)));
        if (!backups) throw instanceNotFound();
        return backups;
      });
    },
  );

  app.get(
    '/v1/instances/:guid/backups/:id',
    {
      config: { action: 'backup.view' },
      schema: {
        ...{ tags, summary: 'Get one backup', params },
        response: { 200: ref<BackupBody>(BackupBody, 'The backup.'), ...errors() },
      },
    },
    async (request) => {
      const instance = await instanceOf(context, request);
      const id = parseId(request.params.id);
      const backup = id && (await findBackup(operations.db, instance.id, id));
      if (!backup) throw backupNotFound();
      const copies = await copiesOf(operations.db, id);
      return bodyOf({ ...backup, copies }, await newestUserKeyVersion(operations.db, instance.id));
    },
  );

  app.post(
    '/v1/instances/:guid/backups',
    {
      config: { action: 'backup.create' },
      schema: {
        ...{ tags, summary: 'Create a backup', params: InstanceParams, headers: IdempotencyHeaders },
        response: {
          201: ref<BackupRequestedBody>(BackupRequestedBody, 'The backup has been scheduled.'),
          ...bodyErrors(422),
        },
      },
    },
    async (request, reply) => {
      const guid = requireGuid(request);
      const body = await idempotently(context, request, async (once) => {
        const { id } = await requestBackup(once, guid);
        return { id, message: 'The backup has been scheduled.' };
      });
      return reply.code(201).send(body);
    },
  );

  app.delete(
    '/v1/instances/:guid/backups/:id',
    {
      config: { action: 'backup.delete' },
      schema: {
        ...{ tags, summary: 'Delete a backup', params },
        response: { 200: ref<MessageBody>(MessageBody, 'It is gone.'), ...bodyErrors(409, 502, 504) },
      },
    },
    async (request, reply) => {
      await deleteBackup(
        operations,
        requireGuid(request),
        requireId(request.params.id),
        requestSignal(reply),
      );
      return { message: 'The backup has been deleted.' };
    },
  );

  app.post(
    '/v1/instances/:guid/backups/:id/cancel',
    {
      config: { action: 'backup.cancel' },
      schema: {
        ...{ tags, summary: 'Cancel a backup', params },
        response: {
          200: ref<MessageBody>(MessageBody, 'A queued one is over, a running one within seconds.'),
          ...bodyErrors(409),
        },
      },
    },
    async (request) => {
      await cancelBackup(operations, requireGuid(request), requireId(request.params.id));
      return { message: 'The backup is being canceled.' };
    },
  );

  app.post(
    '/v1/instances/:guid/backups/:id/restore',
    {
      config: { action: 'backup.restore' },
      schema: {
        ...{ tags, summary: 'Restore a backup', params, headers: IdempotencyHeaders },
        response: {
          202: ref<RestoreRequestedBody>(RestoreRequestedBody, 'The restore has been scheduled.'),
          ...bodyErrors(409, 422),
        },
      },
    },
    async (request, reply) => {
      const guid = requireGuid(request);
      const backupId = requireId(request.params.id);
      const body = await idempotently(context, request, async (once) => {
        const { id } = await requestRestore(once, guid, backupId);
        return { id, restore_id: id };
      });
      return reply.code(202).send(body);
    },
  );
}

function listing(guid: string, page: Page): Reading<BackupBody[] | undefined> {
  return mapReading(backupsOf(guid, page), (listed) =>
    listed?.backups.map((backup) => bodyOf(backup, listed.newestUserKeyVersion)),
  );
}

function bodyOf(backup: ListedBackup, newestUserKey: number | null): BackupBody {
  return {
    id: backup.id,
    backup_id: backup.backupId,
    size: backup.size ?? 0,
    ...taskFields(backup.task),
    downloadable: isDownloadable(
      { status: backup.task.status, keyVersion: backup.keyVersion },
      newestUserKey,
    ),
    key_version: backup.keyVersion,
    sha256: backup.sha256,
    engine_version: backup.engineVersion,
    copies: backup.copies.map(({ store, status, statusChangedAt }) => ({
      store,
      status,
      finished_at: statusChangedAt.toISOString(),
    })),
  };
}

function requireId(text: string): number {
  const id = parseId(text);
  if (id === undefined) throw backupNotFound();
  return id;
}

function backupNotFound(): ForestayError {
  return new ForestayError('BackupNotFound', 'There is no such backup of this instance.');
}
