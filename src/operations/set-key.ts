import { timingSafeEqual } from 'node:crypto';
import { assertAcceptableKey } from '../core/key.ts';
import { keyBinding, seal } from '../core/sealing.ts';
import { insertKey, newestKey } from '../db/instances.ts';
import { type Context, openKey } from './context.ts';
import { requireLockedInstance } from './instances.ts';

/**
 * Sets the key of an instance: backups from now on are made with it. Older versions stay, so that older backups restore as
 * before. Setting the newest key again adds no version.
 */
export async function setKey(
  context: Context,
  guid: string,
  passphrase: string,
): Promise<{ version: number }> {
  assertAcceptableKey(passphrase, context.minKeyLength);
  return context.db.transaction().execute(async (trx) => {
    const instance = await requireLockedInstance(trx, guid);
    const newest = await newestKey(trx, instance.id);
    if (newest.setBy === 'user' && same(await openKey(context, trx, instance, newest.version), passphrase)) {
      return { version: newest.version };
    }
    const version = newest.version + 1;
    await insertKey(trx, instance.id, {
      version,
      passphraseSealed: seal(context.masterKey, keyBinding(guid, version), passphrase),
      setBy: 'user',
    });
    return { version };
  });
}

/** Prepares a disaster recovery: the GUID that a destination finds the backups under, with a new key if one is given. */
export async function prepareRecovery(
  context: Context,
  guid: string,
  encryptionKey: string | undefined,
): Promise<{ backupGuid: string }> {
  if (encryptionKey !== undefined) await setKey(context, guid, encryptionKey);
  return context.db.transaction().execute(async (trx) => {
    const { backupGuid } = await requireLockedInstance(trx, guid);
    return { backupGuid };
  });
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
