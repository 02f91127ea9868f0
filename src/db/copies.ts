import { type Kysely, sql } from 'kysely';
import type { TaskStatus } from '../core/task.ts';
import type { Reader, Tables, WriteTransaction } from './schema.ts';

/** Copies of backups in secondary stores. The task behind each holds its state. */

export interface Copy {
  readonly id: number;
  readonly backupId: number;
  /** The name of the store. */
  readonly store: string;
}

/** What users see of a copy. */
export interface CopyState {
  readonly store: string;
  readonly status: TaskStatus;
  /** The moment of the last change of status. */
  readonly statusChangedAt: Date;
}

export async function insertCopy(
  trx: WriteTransaction,
  copy: { backupId: number; store: string; taskId: number },
): Promise<void> {
  await trx
    .insertInto('copies')
    .values({ backup_id: copy.backupId, store: copy.store, task_id: copy.taskId })
    .execute();
}

export async function findCopyByTask(db: Reader, taskId: number): Promise<Copy | undefined> {
  const row = await db
    .selectFrom('copies')
    .select(['id', 'backup_id', 'store'])
    .where('task_id', '=', taskId)
    .executeTakeFirst();
  return row && { id: row.id, backupId: row.backup_id, store: row.store };
}

/** The copies of a backup, in the order of their stores' names. */
export async function copiesOf(db: Reader, backupId: number): Promise<CopyState[]> {
  const rows = await db
    .selectFrom('copies as copy')
    .innerJoin('tasks as task', 'task.id', 'copy.task_id')
    .select(['copy.store', 'task.status', 'task.status_changed_at'])
    .where('copy.backup_id', '=', backupId)
    .orderBy('copy.store')
    .execute();
  return rows.map(({ store, status, status_changed_at }) => ({
    store,
    status,
    statusChangedAt: status_changed_at,
  }));
}

/** The ids of the backups of which a store holds a copy. */
export async function doneCopies(db: Reader, store: string): Promise<Set<number>> {
  const rows = await db
    .selectFrom('copies as copy')
    .innerJoin('tasks as task', 'task.id', 'copy.task_id')
    .select('copy.backup_id')
    .where('copy.store', '=', store)
    .where('task.status', '=', 'done')
    .execute();
  return new Set(rows.map(({ backup_id }) => backup_id));
}

/** A copy that somebody should ask for: there is none yet, or the last try failed. */
export interface MissingCopy {
  readonly backupId: number;
  readonly instanceId: number;
  readonly store: string;
}

/**
 * Backups that are done and lack a copy in one of these stores, oldest first. One that failed counts again after a while: soon
 * where trying again may help, later where somebody has to change something first.
 */
export async function missingCopies(
  db: Kysely<Tables>,
  stores: readonly string[],
  options: { retryableBefore: Date; finalBefore: Date; retryableCodes: readonly string[]; limit: number },
): Promise<MissingCopy[]> {
  const { rows } = await sql<MissingCopy>`
    select backup.id as "backupId", backup.instance_id as "instanceId", store.name as store
    from forestay.backups backup
    join forestay.tasks task on task.id = backup.task_id
    cross join json_array_elements_text(${JSON.stringify(stores)}::json) store(name)
    left join forestay.copies copy on copy.backup_id = backup.id and copy.store = store.name
    left join forestay.tasks copying on copying.id = copy.task_id
    where task.status = 'done' and (
      copy.id is null
      or copying.status = 'failed' and copying.status_changed_at < case
        when copying.error_code in (select json_array_elements_text(${JSON.stringify(options.retryableCodes)}::json))
        then ${options.retryableBefore}::timestamptz else ${options.finalBefore}::timestamptz end
    )
    order by backup.id, store.name
    limit ${options.limit}`.execute(db);
  return rows;
}

/** Whoever holds this lock adds or removes copies of the backup; tells whether it is done and lacks that copy. */
export async function lockForCopy(
  trx: WriteTransaction,
  backupId: number,
  store: string,
): Promise<{ mayCopy: boolean; failedTaskId: number | undefined }> {
  const task = await trx
    .selectFrom('tasks as task')
    .innerJoin('backups as backup', 'backup.task_id', 'task.id')
    .select('task.status')
    .where('backup.id', '=', backupId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const copy = await trx
    .selectFrom('copies')
    .innerJoin('tasks as task', 'task.id', 'copies.task_id')
    .select(['task.id', 'task.status'])
    .where('copies.backup_id', '=', backupId)
    .where('copies.store', '=', store)
    .executeTakeFirst();
  return {
    mayCopy: task.status === 'done' && (!copy || copy.status === 'failed'),
    failedTaskId: copy?.id,
  };
}

/** Forgets a try that failed, so that another may take its place. */
export async function removeFailedCopy(trx: WriteTransaction, taskId: number): Promise<void> {
  await trx.deleteFrom('copies').where('task_id', '=', taskId).execute();
  await trx.deleteFrom('tasks').where('id', '=', taskId).where('kind', '=', 'copy').execute();
}

/** The backup is being deleted: what was done is deleted with it, what waits never starts, what runs is told to stop. */
export async function endCopies(trx: WriteTransaction, backupId: number, now: Date): Promise<void> {
  const ofBackup = trx.selectFrom('copies').select('task_id').where('backup_id', '=', backupId);
  await trx
    .updateTable('tasks')
    .set({ cancel_requested_at: now })
    .where('id', 'in', ofBackup)
    .where('status', '=', 'running')
    .execute();
  await trx
    .updateTable('tasks')
    .set({ status: 'deleted', phase: null, status_changed_at: now })
    .where('id', 'in', ofBackup)
    .where('status', '!=', 'running')
    .execute();
}
