import { sql } from 'kysely';
import { copyPool } from '../core/task.ts';
import type { WriteTransaction } from './schema.ts';

/** Backups and copies that were found in stores, put into a database that knows none. */

/** A backup that is done, as its manifest tells. Times are ISO 8601, sizes bytes. */
export interface FoundBackup {
  readonly id: number;
  readonly instance_id: string;
  readonly backup_id: string;
  readonly key_version: number;
  readonly size: number;
  readonly plaintext_size: number;
  readonly sha256: string;
  readonly engine_version: string;
  readonly data_name: string;
  readonly suffix: string;
  /** Which attempt made it: its data has the name of that. */
  readonly attempt: number;
  readonly triggered_at: string;
  readonly started_at: string;
  readonly finished_at: string;
}

/** A whole copy of a backup in a secondary store. */
export interface FoundCopy {
  readonly backup: number;
  readonly store: string;
  readonly finished_at: string;
}

/** Inserts them with their ids. `nextId` is the least id that a new backup may get. */
export async function insertFoundBackups(
  trx: WriteTransaction,
  found: { backups: readonly FoundBackup[]; copies: readonly FoundCopy[]; nextId: number },
): Promise<void> {
  const columns = sql.raw(`
    task integer, id integer, instance_id text, backup_id text, key_version integer, size bigint, plaintext_size bigint,
    sha256 text, engine_version text, data_name text, suffix text, attempt integer, triggered_at timestamptz,
    started_at timestamptz, finished_at timestamptz`);
  const backups = JSON.stringify(found.backups.map((backup, index) => ({ ...backup, task: index + 1 })));
  await sql`
    insert into forestay.tasks (
      id, kind, instance_id, pool, status, attempt, job_id, triggered_at, started_at, status_changed_at
    ) overriding system value
    select row.task, 'backup', instance.id, instance.pool, 'done', row.attempt, gen_random_uuid(), row.triggered_at,
      row.started_at, row.finished_at
    from json_to_recordset(${backups}::json) as row(${columns})
    join forestay.instances instance on instance.guid = row.instance_id`.execute(trx);
  await sql`
    insert into forestay.backups (
      id, task_id, instance_id, backup_id, key_version, size, plaintext_size, sha256, engine_version, data_name, suffix
    ) overriding system value
    select row.id, row.task, instance.id, row.backup_id, row.key_version, row.size, row.plaintext_size, row.sha256,
      row.engine_version, row.data_name, row.suffix
    from json_to_recordset(${backups}::json) as row(${columns})
    join forestay.instances instance on instance.guid = row.instance_id`.execute(trx);
  const copies = JSON.stringify(
    found.copies.map((copy, index) => ({ ...copy, task: found.backups.length + index + 1 })),
  );
  const copyColumns = sql.raw('task integer, backup integer, store text, finished_at timestamptz');
  await sql`
    insert into forestay.tasks (
      id, kind, instance_id, pool, status, attempt, job_id, triggered_at, started_at, status_changed_at
    ) overriding system value
    select row.task, 'copy', backup.instance_id, ${copyPool}, 'done', 1, gen_random_uuid(), row.finished_at,
      row.finished_at, row.finished_at
    from json_to_recordset(${copies}::json) as row(${copyColumns})
    join forestay.backups backup on backup.id = row.backup`.execute(trx);
  await sql`
    insert into forestay.copies (backup_id, store, task_id)
    select row.backup, row.store, row.task from json_to_recordset(${copies}::json) as row(${copyColumns})`.execute(
    trx,
  );
  await sql`select setval('forestay.tasks_id_seq', ${found.backups.length + found.copies.length + 1}::bigint, false)`.execute(
    trx,
  );
  await sql`select setval('forestay.backups_id_seq', ${found.nextId}::bigint, false)`.execute(trx);
}
