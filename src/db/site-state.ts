import { sql } from 'kysely';
import type { InstanceState, KeyState } from '../core/site-state.ts';
import type { Reader, WriteTransaction } from './schema.ts';

/** Instances and keys as the copies of the site's state hold them. */

/** Changes whenever `readSiteState` would read something else. Cheap, however many instances there are. */
export async function siteStateVersion(db: Reader): Promise<string> {
  const { instances, changed } = await db
    .selectFrom('instances')
    .select(({ fn }) => [fn.countAll<number>().as('instances'), fn.max('updated_at').as('changed')])
    .executeTakeFirstOrThrow();
  const { keys, added } = await db
    .selectFrom('keys')
    .select(({ fn }) => [fn.countAll<number>().as('keys'), fn.max('created_at').as('added')])
    .executeTakeFirstOrThrow();
  return [instances, changed?.getTime() ?? 0, keys, added?.getTime() ?? 0].join('-');
}

export async function readSiteState(db: Reader): Promise<{ instances: InstanceState[]; keys: KeyState[] }> {
  const instances = await db.selectFrom('instances').selectAll().orderBy('id').execute();
  const keys = await db
    .selectFrom('keys as key')
    .innerJoin('instances as instance', 'instance.id', 'key.instance_id')
    .selectAll('key')
    .select('instance.guid')
    .orderBy('key.instance_id')
    .orderBy('key.version')
    .execute();
  return {
    instances: instances.map((row) => ({
      id: row.id,
      instance_id: row.guid,
      name: row.name,
      engine: row.engine,
      pool: row.pool,
      backup_guid: row.backup_guid,
      exclude_from_auto_backup: row.exclude_from_auto_backup,
      state: row.state,
      created_at: row.created_at.toISOString(),
      updated_at: row.updated_at.toISOString(),
      connection: row.connection_sealed && base64(row.connection_sealed),
    })),
    keys: keys.map((row) => ({
      instance_id: row.guid,
      version: row.version,
      passphrase: base64(row.passphrase_sealed),
      set_by: row.set_by,
      created_at: row.created_at.toISOString(),
    })),
  };
}

/** The newest copy of the state in a store, undefined when there is none. */
export async function findStateCopy(
  db: Reader,
  store: string,
): Promise<{ version: string; writtenAt: Date } | undefined> {
  const row = await db.selectFrom('state_copies').selectAll().where('store', '=', store).executeTakeFirst();
  return row && { version: row.version, writtenAt: row.written_at };
}

export async function noteStateCopy(
  trx: WriteTransaction,
  copy: { store: string; version: string; writtenAt: Date },
): Promise<void> {
  const { store, version, writtenAt: written_at } = copy;
  await trx
    .insertInto('state_copies')
    .values({ store, version, written_at })
    .onConflict((conflict) => conflict.column('store').doUpdateSet({ version, written_at }))
    .execute();
}

/** Whether the site knows no instance, so that a catalogue may be put into it. */
export async function isEmptySite(db: Reader): Promise<boolean> {
  return (await db.selectFrom('instances').select('id').limit(1).executeTakeFirst()) === undefined;
}

/** Instances and keys with the ids they had. */
export async function insertSiteState(
  trx: WriteTransaction,
  state: { instances: readonly InstanceState[]; keys: readonly KeyState[] },
): Promise<void> {
  await sql`
    insert into forestay.instances (
      id, guid, name, engine, pool, connection_sealed, backup_guid, exclude_from_auto_backup, state, created_at, updated_at
    ) overriding system value
    select id, instance_id, name, engine, pool, decode(connection, 'base64'), backup_guid, exclude_from_auto_backup,
      state, created_at, updated_at
    from json_to_recordset(${JSON.stringify(state.instances)}::json) as row(
      id integer, instance_id text, name text, engine text, pool text, connection text, backup_guid text,
      exclude_from_auto_backup boolean, state text, created_at timestamptz, updated_at timestamptz
    )`.execute(trx);
  await sql`select setval('forestay.instances_id_seq', (select coalesce(max(id), 1) from forestay.instances))`.execute(
    trx,
  );
  await sql`
    insert into forestay.keys (instance_id, version, passphrase_sealed, set_by, created_at)
    select instance.id, row.version, decode(row.passphrase, 'base64'), row.set_by, row.created_at
    from json_to_recordset(${JSON.stringify(state.keys)}::json) as row(
      instance_id text, version integer, passphrase text, set_by text, created_at timestamptz
    )
    join forestay.instances instance on instance.guid = row.instance_id`.execute(trx);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
