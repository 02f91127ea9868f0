import { type Kysely, sql } from 'kysely';
import type { Tables } from './schema.ts';

/** The newest backup of an instance that one store holds: what would be left of the instance if everything but that store were lost. */
export interface RecoveryPoint {
  readonly instanceGuid: string;
  /** The name of a secondary store; null for the primary one. */
  readonly store: string | null;
  readonly backupId: number;
  /** When the backup was begun: changes after that are not in it. */
  readonly takenAt: Date;
}

/** Of all instances in care, or of one. Stores that hold no backup of an instance are left out. */
export async function listRecoveryPoints(
  db: Kysely<Tables>,
  instanceGuid?: string,
): Promise<RecoveryPoint[]> {
  const { rows } = await sql<RecoveryPoint>`
    select distinct on (instance.id, held.store) instance.guid as "instanceGuid", held.store,
      held.backup_id as "backupId", held.taken_at as "takenAt"
    from forestay.instances instance
    join (
      select backup.instance_id, null as store, backup.id as backup_id, coalesce(task.started_at, task.triggered_at) as taken_at
      from forestay.backups backup join forestay.tasks task on task.id = backup.task_id
      where task.status = 'done'
      union all
      select backup.instance_id, copy.store, backup.id, coalesce(task.started_at, task.triggered_at)
      from forestay.backups backup join forestay.tasks task on task.id = backup.task_id
      join forestay.copies copy on copy.backup_id = backup.id join forestay.tasks copying on copying.id = copy.task_id
      where task.status = 'done' and copying.status = 'done'
    ) held on held.instance_id = instance.id
    where instance.state = 'provisioned' and (${instanceGuid ?? null}::text is null or instance.guid = ${instanceGuid ?? null})
    order by instance.id, held.store, held.taken_at desc`.execute(db);
  return rows;
}
