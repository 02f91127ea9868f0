import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Everything the main job needs. Times are timestamptz; bytes are bigint; secrets are sealed or hashed. */
export const mainJob: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`
      create table forestay.site (
        only_row integer primary key default 1 check (only_row = 1),
        site_id text not null,
        master_key_check bytea not null,
        created_at timestamptz(3) not null default now()
      )`.execute(db);
    await sql`
      create table forestay.instances (
        id integer generated always as identity primary key,
        guid text not null unique,
        name text not null,
        engine text not null,
        pool text not null,
        connection_sealed bytea not null,
        backup_guid text not null unique,
        exclude_from_auto_backup boolean not null default false,
        state text not null default 'provisioned' check (state in ('provisioned', 'deleted')),
        created_at timestamptz(3) not null default now(),
        updated_at timestamptz(3) not null default now()
      )`.execute(db);
    await sql`
      create table forestay.keys (
        instance_id integer not null references forestay.instances,
        version integer not null check (version >= 1),
        passphrase_sealed bytea not null,
        set_by text not null check (set_by in ('system', 'user')),
        created_at timestamptz(3) not null default now(),
        primary key (instance_id, version)
      )`.execute(db);
    await sql`
      create table forestay.tasks (
        id integer generated always as identity primary key,
        kind text not null check (kind in ('backup', 'restore')),
        instance_id integer not null references forestay.instances,
        pool text not null,
        status text not null default 'queued' check (status in ('queued', 'running', 'done', 'failed', 'deleted')),
        attempt integer not null default 0,
        interruptions integer not null default 0,
        job_id uuid not null,
        phase text,
        bytes_in bigint not null default 0,
        bytes_out bigint not null default 0,
        progress_at timestamptz(3),
        error_code text,
        error_message text,
        error_hint text,
        cancel_requested_at timestamptz(3),
        triggered_at timestamptz(3) not null default now(),
        started_at timestamptz(3),
        status_changed_at timestamptz(3) not null default now()
      )`.execute(db);
    await sql`create index tasks_of_instance on forestay.tasks (instance_id, id)`.execute(db);
    await sql`create index unfinished_tasks on forestay.tasks (id) where status in ('queued', 'running')`.execute(
      db,
    );
    await sql`
      create table forestay.backups (
        id integer generated always as identity primary key,
        task_id integer not null unique references forestay.tasks,
        instance_id integer not null references forestay.instances,
        backup_id text not null unique,
        key_version integer not null,
        size bigint,
        plaintext_size bigint,
        sha256 text,
        engine_version text,
        data_name text,
        suffix text,
        foreign key (instance_id, key_version) references forestay.keys (instance_id, version)
      )`.execute(db);
    await sql`create index backups_of_instance on forestay.backups (instance_id, id desc)`.execute(db);
    await sql`
      create table forestay.restores (
        id integer generated always as identity primary key,
        task_id integer not null unique references forestay.tasks,
        instance_id integer not null references forestay.instances,
        ticket_id text not null unique,
        backup_id integer references forestay.backups,
        source_backup_id text not null,
        passphrase_sealed bytea,
        restored_from timestamptz(3) not null,
        method text,
        switch_ms integer,
        not_kept jsonb,
        undo_until timestamptz(3),
        undone_at timestamptz(3),
        undoing_since timestamptz(3),
        settled boolean not null default false
      )`.execute(db);
    await sql`create index restores_of_instance on forestay.restores (instance_id, id desc)`.execute(db);
    await sql`create index restores_of_backup on forestay.restores (backup_id)`.execute(db);
    await sql`create index unsettled_restores on forestay.restores (id) where not settled`.execute(db);
    await sql`create index kept_for_undo on forestay.restores (undo_until) where undo_until is not null`.execute(
      db,
    );
    await sql`
      create table forestay.tokens (
        id integer generated always as identity primary key,
        name text not null,
        secret_hash bytea not null unique,
        operator boolean not null,
        created_at timestamptz(3) not null default now(),
        last_used_at timestamptz(3),
        revoked_at timestamptz(3)
      )`.execute(db);
    await sql`
      create table forestay.token_instances (
        token_id integer not null references forestay.tokens on delete cascade,
        instance_guid text not null,
        "right" text not null check ("right" in ('view', 'manage')),
        primary key (token_id, instance_guid)
      )`.execute(db);
    await sql`
      create table forestay.sessions (
        secret_hash bytea primary key,
        provider text not null,
        subject text not null,
        created_at timestamptz(3) not null default now(),
        expires_at timestamptz(3) not null
      )`.execute(db);
    await sql`create index sessions_by_expiry on forestay.sessions (expires_at)`.execute(db);
    await sql`
      create table forestay.idempotent_requests (
        scope text not null,
        key text not null,
        request_hash bytea not null,
        answer_sealed bytea,
        created_at timestamptz(3) not null default now(),
        primary key (scope, key)
      )`.execute(db);
    await sql`create index idempotent_requests_by_age on forestay.idempotent_requests (created_at)`.execute(
      db,
    );
    await sql`
      create table forestay.failed_attempts (
        scope text primary key,
        count integer not null,
        first_at timestamptz(3) not null
      )`.execute(db);
    await sql`
      create table forestay.known_stores (
        name text primary key,
        store_id text not null
      )`.execute(db);
  },
};
