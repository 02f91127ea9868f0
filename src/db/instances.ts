import type { Selectable } from 'kysely';
import type { InstanceState } from '../core/instance.ts';
import type { KeySetBy } from '../core/key.ts';
import type { InstanceTable, Reader, WriteTransaction } from './schema.ts';

export interface Instance {
  readonly id: number;
  readonly guid: string;
  readonly name: string;
  readonly engine: string;
  readonly pool: string;
  /** Null when it is not known (any more). */
  readonly connectionSealed: Uint8Array | null;
  readonly backupGuid: string;
  readonly excludeFromAutoBackup: boolean;
  readonly state: InstanceState;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface Key {
  readonly version: number;
  readonly passphraseSealed: Uint8Array;
  readonly setBy: KeySetBy;
}

function instanceOf(row: Selectable<InstanceTable>): Instance {
  return {
    id: row.id,
    guid: row.guid,
    name: row.name,
    engine: row.engine,
    pool: row.pool,
    connectionSealed: row.connection_sealed,
    backupGuid: row.backup_guid,
    excludeFromAutoBackup: row.exclude_from_auto_backup,
    state: row.state,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export async function findInstance(db: Reader, guid: string): Promise<Instance | undefined> {
  const row = await db.selectFrom('instances').selectAll().where('guid', '=', guid).executeTakeFirst();
  return row && instanceOf(row);
}

export async function findInstanceById(db: Reader, id: number): Promise<Instance | undefined> {
  const row = await db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirst();
  return row && instanceOf(row);
}

/** The instance, locked until the transaction ends: whoever adds tasks, keys or restores to it waits for each other. */
export async function lockInstance(trx: WriteTransaction, guid: string): Promise<Instance | undefined> {
  const row = await trx
    .selectFrom('instances')
    .selectAll()
    .where('guid', '=', guid)
    .forUpdate()
    .executeTakeFirst();
  return row && instanceOf(row);
}

export async function lockInstanceById(trx: WriteTransaction, id: number): Promise<Instance | undefined> {
  const row = await trx
    .selectFrom('instances')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return row && instanceOf(row);
}

/** Newest first; `guids` limits the list to those. */
export async function listInstances(
  db: Reader,
  options: {
    guids?: readonly string[] | undefined;
    limit?: number | undefined;
    beforeId?: number | undefined;
  } = {},
): Promise<Instance[]> {
  if (options.guids?.length === 0) return [];
  let query = db.selectFrom('instances').selectAll().orderBy('id', 'desc');
  if (options.guids) query = query.where('guid', 'in', options.guids);
  if (options.beforeId !== undefined) query = query.where('id', '<', options.beforeId);
  if (options.limit !== undefined) query = query.limit(options.limit);
  return (await query.execute()).map(instanceOf);
}

export async function insertInstance(
  trx: WriteTransaction,
  instance: Pick<Instance, 'guid' | 'name' | 'engine' | 'pool' | 'connectionSealed' | 'backupGuid'>,
): Promise<Instance> {
  const row = await trx
    .insertInto('instances')
    .values({
      guid: instance.guid,
      name: instance.name,
      engine: instance.engine,
      pool: instance.pool,
      connection_sealed: instance.connectionSealed,
      backup_guid: instance.backupGuid,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return instanceOf(row);
}

export async function updateInstance(
  trx: WriteTransaction,
  id: number,
  change: Partial<Pick<Instance, 'name' | 'pool' | 'connectionSealed' | 'excludeFromAutoBackup' | 'state'>>,
  now: Date,
): Promise<void> {
  await trx
    .updateTable('instances')
    .set({
      ...(change.name !== undefined && { name: change.name }),
      ...(change.pool !== undefined && { pool: change.pool }),
      ...(change.connectionSealed !== undefined && { connection_sealed: change.connectionSealed }),
      ...(change.excludeFromAutoBackup !== undefined && {
        exclude_from_auto_backup: change.excludeFromAutoBackup,
      }),
      ...(change.state !== undefined && { state: change.state }),
      updated_at: now,
    })
    .where('id', '=', id)
    .execute();
}

/** The key that new backups are made with. Every instance has one from the start. */
export async function newestKey(db: Reader, instanceId: number): Promise<Key> {
  const row = await db
    .selectFrom('keys')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  return { version: row.version, passphraseSealed: row.passphrase_sealed, setBy: row.set_by };
}

export async function findKey(db: Reader, instanceId: number, version: number): Promise<Key | undefined> {
  const row = await db
    .selectFrom('keys')
    .selectAll()
    .where('instance_id', '=', instanceId)
    .where('version', '=', version)
    .executeTakeFirst();
  return row && { version: row.version, passphraseSealed: row.passphrase_sealed, setBy: row.set_by };
}

/** The newest version a user set, null when only the system did: what `downloadable` is measured by. */
export async function newestUserKeyVersion(db: Reader, instanceId: number): Promise<number | null> {
  const row = await db
    .selectFrom('keys')
    .select((select) => select.fn.max('version').as('version'))
    .where('instance_id', '=', instanceId)
    .where('set_by', '=', 'user')
    .executeTakeFirst();
  return row?.version ?? null;
}

export async function insertKey(trx: WriteTransaction, instanceId: number, key: Key): Promise<void> {
  await trx
    .insertInto('keys')
    .values({
      instance_id: instanceId,
      version: key.version,
      passphrase_sealed: key.passphraseSealed,
      set_by: key.setBy,
    })
    .execute();
}
