import type { ColumnType, Generated, Kysely, Transaction } from 'kysely';
import type { ErrorCode } from '../core/errors.ts';
import type { InstanceState } from '../core/instance.ts';
import type { KeySetBy } from '../core/key.ts';
import type { TaskKind, TaskPhase, TaskStatus } from '../core/task.ts';

/**
 * The tables as Kysely sees them; `migrations/` makes them. They lie in the schema `forestay` of the database.
 * Only a `WriteTransaction` can write, by type: functions that change rows take one, functions that read take a `Reader`.
 */
export interface Tables {
  site: SiteTable;
  instances: InstanceTable;
  keys: KeyTable;
  tasks: TaskTable;
  backups: BackupTable;
  copies: CopyTable;
  restores: RestoreTable;
  tokens: TokenTable;
  token_instances: TokenInstanceTable;
  sessions: SessionTable;
  idempotent_requests: IdempotentRequestTable;
  failed_attempts: FailedAttemptTable;
  known_stores: KnownStoreTable;
  state_copies: StateCopyTable;
}

export type WriteTransaction = Transaction<Tables>;
export type Reader = Pick<Kysely<Tables>, 'selectFrom' | 'fn' | 'with' | 'selectNoFrom'>;

type Json<T> = ColumnType<T, string, string>;
type Created = ColumnType<Date, Date | undefined, never>;

interface SiteTable {
  /** Always 1: there is one row. */
  only_row: Generated<number>;
  site_id: string;
  /** Sealed under the master key, to tell at start whether it is the right one. */
  master_key_check: Uint8Array;
  created_at: Created;
}

export interface InstanceTable {
  id: Generated<number>;
  /** `instance_id` of the API. */
  guid: string;
  name: string;
  engine: string;
  pool: string;
  /** Null after the catalogue was rebuilt from a store that had no copy of the site's state. */
  connection_sealed: Uint8Array | null;
  backup_guid: string;
  exclude_from_auto_backup: Generated<boolean>;
  state: Generated<InstanceState>;
  created_at: Created;
  updated_at: Generated<Date>;
}

export interface KeyTable {
  instance_id: number;
  version: number;
  passphrase_sealed: Uint8Array;
  set_by: KeySetBy;
  created_at: Created;
}

export interface TaskTable {
  id: Generated<number>;
  kind: TaskKind;
  instance_id: number;
  pool: string;
  status: Generated<TaskStatus>;
  /** Counts claims. Every write of a worker names the attempt it claimed, and changes nothing when it is not this one. */
  attempt: Generated<number>;
  /** Attempts that ended because their worker was stopped in order: they do not count against the task. */
  interruptions: Generated<number>;
  /** The one job that may claim the task. A dead worker's job is replaced, so whatever it still does changes nothing. */
  job_id: string;
  phase: TaskPhase | null;
  bytes_in: Generated<number>;
  bytes_out: Generated<number>;
  progress_at: Date | null;
  error_code: ErrorCode | null;
  error_message: string | null;
  error_hint: string | null;
  cancel_requested_at: Date | null;
  triggered_at: Created;
  started_at: Date | null;
  /** The moment of the last change of status. */
  status_changed_at: Generated<Date>;
}

export interface BackupTable {
  id: Generated<number>;
  task_id: number;
  instance_id: number;
  backup_id: string;
  key_version: number;
  /** Bytes of stored data; null until done. */
  size: number | null;
  plaintext_size: number | null;
  sha256: string | null;
  engine_version: string | null;
  /** Name of the data object; null until done. */
  data_name: string | null;
  suffix: string | null;
}

interface CopyTable {
  id: Generated<number>;
  backup_id: number;
  /** The name of the secondary store. */
  store: string;
  /** The task that makes the copy, which holds its state; replaced when one that failed is tried again later. */
  task_id: number;
}

export interface RestoreTable {
  id: Generated<number>;
  task_id: number;
  instance_id: number;
  /** Names what the engine stages; a UUID. */
  ticket_id: string;
  /** The backup at this site, null when it was made at another (disaster recovery, fork). */
  backup_id: number | null;
  /** The backup's `backup_id`, at whatever site it was made. */
  source_backup_id: string;
  /** Set for backups of another site: the passphrase to open it with. Emptied when the restore ends. */
  passphrase_sealed: Uint8Array | null;
  restored_from: Date;
  method: string | null;
  switch_ms: number | null;
  not_kept: Json<string[]> | null;
  /** What was noticed while the backup was looked for and read, a sentence each. */
  notes: Json<string[]> | null;
  /** Until when the replaced data is kept; null when there is none. */
  undo_until: Date | null;
  undone_at: Date | null;
  /** An undo has begun and not ended; no task of the instance starts meanwhile. */
  undoing_since: Date | null;
  /** Nothing of the restore's staging can be left: written when it ended so, or when the sweep made sure. */
  settled: Generated<boolean>;
}

export interface TokenTable {
  id: Generated<number>;
  name: string;
  /** SHA-256 of the secret; it has 256 random bits, so nothing slower is needed. */
  secret_hash: Uint8Array;
  /** Operators may do everything; the others what `token_instances` says. */
  operator: boolean;
  created_at: Created;
  last_used_at: Date | null;
  revoked_at: Date | null;
}

interface TokenInstanceTable {
  token_id: number;
  instance_guid: string;
  right: 'view' | 'manage';
}

interface SessionTable {
  secret_hash: Uint8Array;
  /** Which identity provider knows the owner, and as whom: the session lives no longer than the owner's credential. */
  provider: string;
  subject: string;
  created_at: Created;
  expires_at: Date;
}

interface IdempotentRequestTable {
  /** Who asked, and where: a key means nothing to another caller. */
  scope: string;
  key: string;
  request_hash: Uint8Array;
  /** Sealed, because an answer may hold a new token's secret; null only within the transaction that makes it. */
  answer_sealed: Uint8Array | null;
  created_at: Created;
}

/** Wrong credentials and wrong keys, to slow down whoever tries many. */
interface FailedAttemptTable {
  scope: string;
  count: number;
  first_at: Date;
}

/** The newest copy of the site's state in each store. */
interface StateCopyTable {
  store: string;
  /** What `siteStateVersion` said. */
  version: string;
  written_at: Date;
}

/** Which store was found behind a name at first: a bare mount point has the same name and is another store. */
interface KnownStoreTable {
  name: string;
  store_id: string;
}
