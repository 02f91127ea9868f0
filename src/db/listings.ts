import type { Kysely } from 'kysely';
import type { ErrorCode } from '../core/errors.ts';
import type { TaskPhase, TaskStatus } from '../core/task.ts';
import type { Backup } from './backups.ts';
import type { CopyState } from './copies.ts';
import { type Reading, read } from './reading.ts';
import type { Tables } from './schema.ts';
import type { Task } from './tasks.ts';

/** What lists show of a backup. */
export type ListedBackup = Pick<
  Backup,
  'id' | 'instanceId' | 'backupId' | 'keyVersion' | 'size' | 'sha256' | 'engineVersion'
> & {
  readonly task: Pick<
    Task,
    | 'id'
    | 'status'
    | 'attempt'
    | 'phase'
    | 'bytesIn'
    | 'progressAt'
    | 'error'
    | 'triggeredAt'
    | 'startedAt'
    | 'statusChangedAt'
  >;
  readonly copies: readonly CopyState[];
};

export interface ListedBackups {
  readonly instanceId: number;
  readonly newestUserKeyVersion: number | null;
  readonly backups: ListedBackup[];
}

/**
 * The backups of an instance, newest first, deleted ones left out; undefined where there is no such instance. What
 * clients poll: one round trip, planned once, and one value instead of hundreds (measured: 16,000 a second
 * instead of 2,900).
 */
export function listBackupsOf(
  db: Kysely<Tables>,
  guid: string,
  page: Page,
): Promise<ListedBackups | undefined> {
  return read(db, backupsOf(guid, page));
}

/** Part of a list, newest first. */
export interface Page {
  readonly limit?: number | undefined;
  readonly beforeId?: number | undefined;
}

/** The same, to be read along with something else. */
export function backupsOf(guid: string, page: Page): Reading<ListedBackups | undefined> {
  return {
    name: 'list_backups',
    text: listBackups,
    parameters: [guid, page.beforeId ?? null, page.limit ?? null],
    valueOf: (row) => (row === undefined ? undefined : listedBackups(JSON.parse(row) as Listed)),
  };
}

function listedBackups(listed: Listed): ListedBackups {
  return {
    instanceId: listed.id,
    newestUserKeyVersion: listed.newest_user_key,
    backups: listed.backups.map((row) => listedBackup(listed.id, row)),
  };
}

interface Listed {
  id: number;
  newest_user_key: number | null;
  backups: Row[];
}

/** In the order of the columns of `item`; moments are milliseconds. */
type Row = [
  id: number,
  backupId: string,
  keyVersion: number,
  size: number | null,
  sha256: string | null,
  engineVersion: string | null,
  taskId: number,
  status: TaskStatus,
  attempt: number,
  phase: TaskPhase | null,
  bytesIn: number,
  progressAt: number | null,
  error: ErrorCode | null,
  message: string | null,
  hint: string | null,
  triggeredAt: number,
  startedAt: number | null,
  statusChangedAt: number,
  copies: [store: string, status: TaskStatus, statusChangedAt: number][] | null,
];

const moment = (column: string) => `(extract(epoch from ${column}) * 1000)::bigint`;

const listBackups = `
  select instance.id,
    (select max(version) from forestay.keys where instance_id = instance.id and set_by = 'user') as newest_user_key,
    (
      select coalesce(json_agg(listed.item), '[]')
      from (
        select json_build_array(
          backup.id, backup.backup_id, backup.key_version, backup.size, backup.sha256, backup.engine_version,
          task.id, task.status, task.attempt, task.phase, task.bytes_in, ${moment('task.progress_at')},
          task.error_code, task.error_message, task.error_hint,
          ${moment('task.triggered_at')}, ${moment('task.started_at')}, ${moment('task.status_changed_at')},
          (
            select json_agg(
              json_build_array(copy.store, copying.status, ${moment('copying.status_changed_at')}) order by copy.store
            )
            from forestay.copies copy join forestay.tasks copying on copying.id = copy.task_id
            where copy.backup_id = backup.id
          )
        ) as item
        from forestay.backups backup join forestay.tasks task on task.id = backup.task_id
        where backup.instance_id = instance.id and task.status <> 'deleted'
          and backup.id < coalesce($2::bigint, 2147483648)
        order by backup.id desc limit $3::bigint
      ) listed
    ) as backups
  from forestay.instances instance where instance.guid = $1`;

function listedBackup(instanceId: number, row: Row): ListedBackup {
  const [id, backupId, keyVersion, size, sha256, engineVersion, ...ofTask] = row;
  const [taskId, status, attempt, phase, bytesIn, progressAt, ...more] = ofTask;
  const [code, message, hint, triggeredAt, startedAt, statusChangedAt, copies] = more;
  return {
    id,
    instanceId,
    backupId,
    keyVersion,
    size,
    sha256,
    engineVersion,
    task: {
      id: taskId,
      status,
      attempt,
      phase,
      bytesIn,
      progressAt: progressAt === null ? null : new Date(progressAt),
      error: code === null ? null : { code, message: message ?? '', hint },
      triggeredAt: new Date(triggeredAt),
      startedAt: startedAt === null ? null : new Date(startedAt),
      statusChangedAt: new Date(statusChangedAt),
    },
    copies: (copies ?? []).map(([store, status, changedAt]) => ({
      store,
      status,
      statusChangedAt: new Date(changedAt),
    })),
  };
}
