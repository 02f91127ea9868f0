import { type Kysely, sql } from 'kysely';
import { type Backup, type BackupColumns, backupOf } from './backups.ts';
import type { Tables } from './schema.ts';

/** Lists that are asked for often, in one round trip each. */

type Listed = { instance_id_: number; newest_user_key: number | null } & (BackupColumns | { id: null });

/** The backups of an instance, newest first, deleted ones left out; undefined where there is no such instance. */
export async function listBackupsOf(
  db: Kysely<Tables>,
  guid: string,
  page: { limit?: number | undefined; beforeId?: number | undefined },
): Promise<{ instanceId: number; newestUserKeyVersion: number | null; backups: Backup[] } | undefined> {
  const { rows } = await sql<Listed>`
    select instance.id as instance_id_, instance.newest_user_key, listed.*
    from (
      select id, (
        select max(version) from forestay.keys where instance_id = instances.id and set_by = 'user'
      ) as newest_user_key
      from forestay.instances where guid = ${guid}
    ) instance
    left join lateral (
      select backup.id, backup.instance_id, backup.backup_id, backup.key_version, backup.size, backup.plaintext_size,
        backup.sha256, backup.engine_version, backup.data_name, backup.suffix, backup.task_id,
        task.kind, task.instance_id as task_instance_id, task.pool, task.status, task.attempt, task.job_id, task.phase,
        task.bytes_in, task.bytes_out, task.progress_at, task.error_code, task.error_message, task.error_hint,
        task.cancel_requested_at, task.triggered_at, task.started_at, task.status_changed_at
      from forestay.backups backup join forestay.tasks task on task.id = backup.task_id
      where backup.instance_id = instance.id and task.status <> 'deleted' and backup.id < coalesce(${page.beforeId ?? null}::bigint, 2147483648)
      order by backup.id desc limit ${page.limit ?? null}::bigint
    ) listed on true
    order by listed.id desc`.execute(db);
  const first = rows[0];
  if (!first) return undefined;
  return {
    instanceId: first.instance_id_,
    newestUserKeyVersion: first.newest_user_key,
    backups: rows.filter((row): row is Listed & BackupColumns => row.id !== null).map(backupOf),
  };
}
