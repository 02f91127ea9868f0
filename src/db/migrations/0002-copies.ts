import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Copies of backups and of the site's state in stores, what restores say of the stores they read, and instances whose connection is not known (any more). */
export const copies: Migration = {
  async up(db: Kysely<unknown>) {
    await sql`alter table forestay.tasks drop constraint tasks_kind_check`.execute(db);
    await sql`alter table forestay.tasks add constraint tasks_kind_check check (kind in ('backup', 'restore', 'copy'))`.execute(
      db,
    );
    await sql`
      create table forestay.copies (
        id integer generated always as identity primary key,
        backup_id integer not null references forestay.backups,
        store text not null,
        task_id integer not null unique references forestay.tasks,
        unique (backup_id, store)
      )`.execute(db);
    await sql`
      create table forestay.state_copies (
        store text primary key,
        version text not null,
        written_at timestamptz(3) not null
      )`.execute(db);
    await sql`alter table forestay.restores add column notes jsonb`.execute(db);
    await sql`alter table forestay.instances alter column connection_sealed drop not null`.execute(db);
  },
};
