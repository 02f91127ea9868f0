import type { Selectable } from 'kysely';
import type { Reader, RestoreTable, WriteTransaction } from './schema.ts';
import { type Task, type TaskColumns, taskColumns, taskOf } from './tasks.ts';
import { notBeingUndone } from './undo.ts';

/** A restore with the task behind it, which holds its status. */
export interface Restore {
  readonly id: number;
  readonly instanceId: number;
  readonly ticketId: string;
  /** Null when the backup was made at another site. */
  readonly backupId: number | null;
  readonly sourceBackupId: string;
  readonly passphraseSealed: Uint8Array | null;
  /** When the backup was taken. */
  readonly restoredFrom: Date;
  readonly method: string | null;
  readonly switchMs: number | null;
  readonly notKept: readonly string[] | null;
  /** What was noticed while the backup was looked for and read, a sentence each. */
  readonly notes: readonly string[] | null;
  readonly undoUntil: Date | null;
  readonly undoneAt: Date | null;
  readonly task: Task;
}

const restoreColumns = [
  'restore.id',
  'restore.instance_id',
  'restore.ticket_id',
  'restore.backup_id',
  'restore.source_backup_id',
  'restore.passphrase_sealed',
  'restore.restored_from',
  'restore.method',
  'restore.switch_ms',
  'restore.not_kept',
  'restore.notes',
  'restore.undo_until',
  'restore.undone_at',
] as const;

type RestoreRow = Omit<Selectable<RestoreTable>, 'task_id' | 'settled' | 'undoing_since'> & TaskColumns;

function restoreOf(row: RestoreRow): Restore {
  return {
    id: row.id,
    instanceId: row.instance_id,
    ticketId: row.ticket_id,
    backupId: row.backup_id,
    sourceBackupId: row.source_backup_id,
    passphraseSealed: row.passphrase_sealed,
    restoredFrom: row.restored_from,
    method: row.method,
    switchMs: row.switch_ms,
    notKept: row.not_kept,
    notes: row.notes,
    undoUntil: row.undo_until,
    undoneAt: row.undone_at,
    task: taskOf(row),
  };
}

function selectRestores(db: Reader) {
  return db
    .selectFrom('restores as restore')
    .innerJoin('tasks as task', 'task.id', 'restore.task_id')
    .select([...restoreColumns, ...taskColumns]);
}

/** Of an instance, newest first. */
export async function listRestores(
  db: Reader,
  instanceId: number,
  options: { limit?: number | undefined; beforeId?: number | undefined } = {},
): Promise<Restore[]> {
  let query = selectRestores(db).where('restore.instance_id', '=', instanceId).orderBy('restore.id', 'desc');
  if (options.beforeId !== undefined) query = query.where('restore.id', '<', options.beforeId);
  if (options.limit !== undefined) query = query.limit(options.limit);
  return (await query.execute()).map(restoreOf);
}

export async function findRestore(db: Reader, instanceId: number, id: number): Promise<Restore | undefined> {
  const row = await selectRestores(db)
    .where('restore.instance_id', '=', instanceId)
    .where('restore.id', '=', id)
    .executeTakeFirst();
  return row && restoreOf(row);
}

export async function findRestoreByTask(db: Reader, taskId: number): Promise<Restore | undefined> {
  const row = await selectRestores(db).where('restore.task_id', '=', taskId).executeTakeFirst();
  return row && restoreOf(row);
}

/** Restores whose replaced data is still kept, and not being put back; of one instance, or of all. */
export async function restoresKeptForUndo(db: Reader, instanceId?: number): Promise<Restore[]> {
  let query = selectRestores(db)
    .where('restore.undo_until', 'is not', null)
    .where(notBeingUndone())
    .orderBy('restore.id');
  if (instanceId !== undefined) query = query.where('restore.instance_id', '=', instanceId);
  return (await query.execute()).map(restoreOf);
}

export async function insertRestore(
  trx: WriteTransaction,
  restore: {
    taskId: number;
    instanceId: number;
    ticketId: string;
    backupId: number | null;
    sourceBackupId: string;
    passphraseSealed: Uint8Array | null;
    restoredFrom: Date;
    notes?: readonly string[];
  },
): Promise<number> {
  const { id } = await trx
    .insertInto('restores')
    .values({
      task_id: restore.taskId,
      instance_id: restore.instanceId,
      ticket_id: restore.ticketId,
      backup_id: restore.backupId,
      source_backup_id: restore.sourceBackupId,
      passphrase_sealed: restore.passphraseSealed,
      restored_from: restore.restoredFrom,
      notes: restore.notes ? JSON.stringify(restore.notes) : null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

export async function describeRestore(
  trx: WriteTransaction,
  id: number,
  report: {
    method: string;
    switchMs: number | null;
    notKept: readonly string[];
    notes?: readonly string[];
    undoUntil: Date | null;
  },
): Promise<void> {
  await trx
    .updateTable('restores')
    .set({
      method: report.method,
      switch_ms: report.switchMs,
      not_kept: JSON.stringify(report.notKept),
      ...(report.notes && { notes: JSON.stringify(report.notes) }),
      undo_until: report.undoUntil,
    })
    .where('id', '=', id)
    .execute();
}

/** Finished restores of which staging may be left. */
export async function unsettledRestores(db: Reader): Promise<Restore[]> {
  const rows = await selectRestores(db)
    .where('restore.settled', '=', false)
    .where('task.status', 'in', ['done', 'failed'])
    .orderBy('restore.id')
    .execute();
  return rows.map(restoreOf);
}

/** Nothing is left of the restore's staging, and so its passphrase is not needed any more. */
export async function markSettled(trx: WriteTransaction, id: number): Promise<void> {
  await trx
    .updateTable('restores')
    .set({ settled: true, passphrase_sealed: null })
    .where('id', '=', id)
    .execute();
}
