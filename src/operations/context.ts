import type { Kysely } from 'kysely';
import { ForestayError } from '../core/errors.ts';
import type { Connection } from '../core/instance.ts';
import type { RetentionPolicy } from '../core/retention.ts';
import { connectionBinding, keyBinding, unseal } from '../core/sealing.ts';
import { findKey, type Instance } from '../db/instances.ts';
import type { Reader, Tables, WriteTransaction } from '../db/schema.ts';
import type { Engine } from '../engines/engine.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** What every operation works with; `app.ts` makes it once. */
export interface Context {
  readonly db: Kysely<Tables>;
  readonly engines: ReadonlyMap<string, Engine>;
  /** Primary first. Backups are written to the first and looked for in all. */
  readonly stores: readonly [ObjectStore, ...ObjectStore[]];
  readonly siteId: string;
  readonly masterKey: Uint8Array;
  readonly minKeyLength: number;
  readonly retention: RetentionPolicy;
  readonly jobs: JobSender;
  readonly log: Log;
}

/** The queue, as operations see it: a job is sent in the transaction that makes or changes its task. */
export interface JobSender {
  /** Makes sure that the pool's queue exists. Outside of transactions. */
  preparePool(pool: string): Promise<void>;
  send(
    trx: WriteTransaction,
    job: { pool: string; jobId: string; taskId: number; delaySeconds?: number },
  ): Promise<void>;
}

/** A subset of pino's logger, so that operations need no logger's type. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How long the data that a restore replaced is kept for an undo. */
export const undoHours = 24;

export function engineOf(context: Context, name: string): Engine {
  const engine = context.engines.get(name);
  if (!engine) {
    throw new ForestayError('BadRequest', `There is no engine "${name}".`, {
      hint: `The engines of this site are: ${[...context.engines.keys()].join(', ')}.`,
    });
  }
  return engine;
}

export function openConnection(context: Context, instance: Instance): Connection {
  if (!instance.connectionSealed) {
    throw new ForestayError('ConnectionMissing', 'It is not known how to reach this instance.', {
      hint: 'The catalogue was rebuilt without it. An operator sets it: forestay instance change, or PATCH /v1/instances/:guid with a connection.',
    });
  }
  const json = unseal(context.masterKey, connectionBinding(instance.guid), instance.connectionSealed);
  return engineOf(context, instance.engine).parseConnection(JSON.parse(json));
}

/** The passphrase of one of an instance's key versions. */
export async function openKey(
  context: Pick<Context, 'masterKey'>,
  db: Reader,
  instance: Instance,
  version: number,
): Promise<string> {
  const key = await findKey(db, instance.id, version);
  if (!key) {
    throw new ForestayError('Internal', `Key version ${version} of instance ${instance.guid} is missing.`);
  }
  return unseal(context.masterKey, keyBinding(instance.guid, version), key.passphraseSealed);
}
