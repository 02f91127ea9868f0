import { randomBytes, randomUUID } from 'node:crypto';
import { isGuid } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import { type Connection, defaultPool } from '../core/instance.ts';
import { connectionBinding, keyBinding, seal } from '../core/sealing.ts';
import {
  findInstance,
  type Instance,
  insertInstance,
  insertKey,
  lockInstance,
  updateInstance,
} from '../db/instances.ts';
import type { WriteTransaction } from '../db/schema.ts';
import { unfinishedTasks } from '../db/tasks.ts';
import type { Probe } from '../engines/engine.ts';
import { type Context, engineOf } from './context.ts';

export interface Registration {
  readonly instanceId?: string | undefined;
  readonly name: string;
  readonly engine: string;
  readonly connection: unknown;
  readonly pool?: string | undefined;
}

/**
 * Takes an instance into care: probes the connection first, so that what cannot be backed up is refused with its reason.
 * The GUID of a deleted instance may be registered again: it gets its backups and keys back.
 */
export async function registerInstance(
  context: Context,
  registration: Registration,
  signal: AbortSignal,
): Promise<{ instance: Instance; probe: Probe }> {
  const guid = (registration.instanceId ?? randomUUID()).toLowerCase();
  if (!isGuid(guid)) throw new ForestayError('BadRequest', 'instance_id must be a GUID.');
  const engine = engineOf(context, registration.engine);
  const existing = await findInstance(context.db, guid);
  if (existing?.state === 'provisioned') throw instanceExists(guid);
  if (existing && existing.engine !== engine.name) {
    throw new ForestayError(
      'InstanceExists',
      `The deleted instance ${guid} was of engine ${existing.engine}.`,
      {
        hint: 'Register the new one under another instance_id.',
      },
    );
  }
  const connection = engine.parseConnection(registration.connection);
  const probe = await engine.probe(connection, signal);
  const pool = registration.pool ?? defaultPool;
  await context.jobs.preparePool(pool);

  const instance = await context.db.transaction().execute(async (trx) => {
    const connectionSealed = sealConnection(context, guid, connection);
    const found = await lockInstance(trx, guid);
    if (found?.state === 'provisioned') throw instanceExists(guid);
    if (found) {
      await updateInstance(
        trx,
        found.id,
        { name: registration.name, pool, connectionSealed, state: 'provisioned' },
        new Date(),
      );
    } else {
      await insertNew(context, trx, {
        guid,
        name: registration.name,
        engine: engine.name,
        pool,
        connectionSealed,
      });
    }
    return (await lockInstance(trx, guid))!;
  });
  return { instance, probe };
}

async function insertNew(
  context: Context,
  trx: WriteTransaction,
  fresh: Pick<Instance, 'guid' | 'name' | 'engine' | 'pool' | 'connectionSealed'>,
): Promise<void> {
  const instance = await insertInstance(trx, { ...fresh, backupGuid: randomUUID() }).catch(
    (error: unknown) => {
      if ((error as { code?: string }).code === '23505') throw instanceExists(fresh.guid);
      throw error;
    },
  );
  const passphrase = randomBytes(32).toString('base64url');
  await insertKey(trx, instance.id, {
    version: 1,
    passphraseSealed: seal(context.masterKey, keyBinding(fresh.guid, 1), passphrase),
    setBy: 'system',
  });
}

export interface InstanceChange {
  readonly name?: string | undefined;
  readonly pool?: string | undefined;
  readonly connection?: unknown;
}

/** Changes what is named; a new connection is probed first. */
export async function changeInstance(
  context: Context,
  guid: string,
  change: InstanceChange,
  signal: AbortSignal,
): Promise<Instance> {
  const instance = await requireInstance(context, guid);
  const engine = engineOf(context, instance.engine);
  const connection = change.connection === undefined ? undefined : engine.parseConnection(change.connection);
  if (connection) await engine.probe(connection, signal);
  if (change.pool !== undefined) await context.jobs.preparePool(change.pool);
  return context.db.transaction().execute(async (trx) => {
    await updateInstance(
      trx,
      instance.id,
      {
        ...(change.name !== undefined && { name: change.name }),
        ...(change.pool !== undefined && { pool: change.pool }),
        ...(connection && { connectionSealed: sealConnection(context, guid, connection) }),
      },
      new Date(),
    );
    return (await lockInstance(trx, guid))!;
  });
}

export async function setAutoBackupExclusion(
  context: Context,
  guid: string,
  excluded: boolean,
): Promise<void> {
  const instance = await requireInstance(context, guid);
  await context.db
    .transaction()
    .execute((trx) => updateInstance(trx, instance.id, { excludeFromAutoBackup: excluded }, new Date()));
}

/** Takes an instance out of care. Its backups and keys stay; nothing can be started on it any more. */
export async function deleteInstance(context: Context, guid: string): Promise<void> {
  await context.db.transaction().execute(async (trx) => {
    const instance = await lockInstance(trx, guid);
    if (instance?.state !== 'provisioned') throw instanceNotFound(guid);
    if ((await unfinishedTasks(trx, instance.id)).length > 0) {
      throw new ForestayError('InstanceBusy', 'A backup or restore of this instance is queued or running.', {
        hint: 'Wait for it or cancel it, then delete the instance.',
      });
    }
    await updateInstance(trx, instance.id, { state: 'deleted' }, new Date());
  });
}

/** An instance that work can be started on. */
export async function requireInstance(context: Context, guid: string): Promise<Instance> {
  const instance = await findInstance(context.db, guid);
  if (instance?.state !== 'provisioned') throw instanceNotFound(guid);
  return instance;
}

/** The same, locked until the transaction ends. */
export async function requireLockedInstance(trx: WriteTransaction, guid: string): Promise<Instance> {
  const instance = await lockInstance(trx, guid);
  if (instance?.state !== 'provisioned') throw instanceNotFound(guid);
  return instance;
}

function sealConnection(context: Context, guid: string, connection: Connection): Buffer {
  return seal(context.masterKey, connectionBinding(guid), JSON.stringify(connection));
}

function instanceNotFound(guid: string): ForestayError {
  return new ForestayError('InstanceNotFound', `There is no instance ${guid}.`);
}

function instanceExists(guid: string): ForestayError {
  return new ForestayError('InstanceExists', `The instance ${guid} is registered already.`);
}
