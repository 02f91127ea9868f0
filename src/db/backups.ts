import { type Selectable, sql } from 'kysely';
import type { BackupTable, Reader, WriteTransaction } from './schema.ts';
import { type Task, type TaskColumns, taskColumns, taskOf } from './tasks.ts';

/** A backup with the task behind it, which holds its status. Sizes are bytes. */
export interface Backup {
  readonly id: number;
  readonly instanceId: number;
  readonly backupId: string;
  readonly keyVersion: number;
  /** Of the stored data; null until done, like everything below. */
  readonly size: number | null;
  readonly plaintextSize: number | null;
  readonly sha256: string | null;
  readonly engineVersion: string | null;
  readonly dataName: string | null;
  readonly suffix: string | null;
  readonly task: Task;
}

const backupColumns = [
  'backup.id',
  'backup.instance_id',
  'backup.backup_id',
  'backup.key_version',
  'backup.size',
  'backup.plaintext_size',
  'backup.sha256',
  'backup.engine_version',
  'backup.data_name',
  'backup.suffix',
] as const;

type BackupRow = Omit<Selectable<BackupTable>, 'task_id'> & TaskColumns;

function backupOf(row: BackupRow): Backup {
  return {
    id: row.id,
    instanceId: row.instance_id,
    backupId: row.backup_id,
    keyVersion: row.key_version,
    size: row.size,
    plaintextSize: row.plaintext_size,
    sha256: row.sha256,
    engineVersion: row.engine_version,
    dataName: row.data_name,
    suffix: row.suffix,
    task: taskOf(row),
  };
}

function selectBackups(db: Reader) {
  return db
    .selectFrom('backups as backup')
    .innerJoin('tasks as task', 'task.id', 'backup.task_id')
    .select([...backupColumns, ...taskColumns]);
}

/** Of an instance, newest first, deleted ones left out. What clients poll is `listBackupsOf` in `listings.ts`. */
export async function listBackups(db: Reader, instanceId: number): Promise<Backup[]> {
  const rows = await selectBackups(db)
    .where('backup.instance_id', '=', instanceId)
    .where('task.status', '!=', 'deleted')
    .orderBy('backup.id', 'desc')
    .execute();
  return rows.map(backupOf);
}

/** One backup of an instance, deleted ones too. */
export async function findBackup(db: Reader, instanceId: number, id: number): Promise<Backup | undefined> {
  const row = await selectBackups(db)
    .where('backup.instance_id', '=', instanceId)
    .where('backup.id', '=', id)
    .executeTakeFirst();
  return row && backupOf(row);
}

export async function findBackupById(db: Reader, id: number): Promise<Backup | undefined> {
  const row = await selectBackups(db).where('backup.id', '=', id).executeTakeFirst();
  return row && backupOf(row);
}

/** The backup, its task locked until the transaction ends. */
export async function lockBackup(
  trx: WriteTransaction,
  instanceId: number,
  id: number,
): Promise<Backup | undefined> {
  const row = await selectBackups(trx)
    .where('backup.instance_id', '=', instanceId)
    .where('backup.id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return row && backupOf(row);
}

export async function findBackupByTask(db: Reader, taskId: number): Promise<Backup | undefined> {
  const row = await selectBackups(db).where('backup.task_id', '=', taskId).executeTakeFirst();
  return row && backupOf(row);
}

/** Every backup this site knows under a `backup_guid`, deleted and failed ones too: what may explain an object in a store. */
export async function listAllBackups(db: Reader, instanceId: number): Promise<Backup[]> {
  const rows = await selectBackups(db)
    .where('backup.instance_id', '=', instanceId)
    .orderBy('backup.id')
    .execute();
  return rows.map(backupOf);
}

export async function insertBackup(
  trx: WriteTransaction,
  backup: { taskId: number; instanceId: number; backupId: string; keyVersion: number },
): Promise<number> {
  const { id } = await trx
    .insertInto('backups')
    .values({
      task_id: backup.taskId,
      instance_id: backup.instanceId,
      backup_id: backup.backupId,
      key_version: backup.keyVersion,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** The millisecond in the newest `backup_id` of an instance: the next one must be later. */
export async function newestBackupMoment(db: Reader, backupGuid: string): Promise<number | null> {
  const row = await db
    .selectFrom('backups')
    .select(sql<number | null>`max(substring(backup_id from 38)::bigint)`.as('moment'))
    .where('backup_id', 'like', `${backupGuid}-%`)
    .executeTakeFirst();
  return row?.moment ?? null;
}

export async function describeBackup(
  trx: WriteTransaction,
  id: number,
  facts: {
    size: number;
    plaintextSize: number;
    sha256: string;
    engineVersion: string;
    dataName: string;
    suffix: string;
  },
): Promise<void> {
  await trx
    .updateTable('backups')
    .set({
      size: facts.size,
      plaintext_size: facts.plaintextSize,
      sha256: facts.sha256,
      engine_version: facts.engineVersion,
      data_name: facts.dataName,
      suffix: facts.suffix,
    })
    .where('id', '=', id)
    .execute();
}

/** Ids of backups that a queued or running restore reads. */
export async function backupsInUse(db: Reader, instanceId: number): Promise<Set<number>> {
  const rows = await db
    .selectFrom('restores')
    .innerJoin('tasks as task', 'task.id', 'restores.task_id')
    .innerJoin('backups as backup', 'backup.id', 'restores.backup_id')
    .select('backup.id')
    .where('backup.instance_id', '=', instanceId)
    .where('task.status', 'in', ['queued', 'running'])
    .execute();
  return new Set(rows.map((row) => row.id));
}
