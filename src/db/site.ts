import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { seal, unseal } from '../core/sealing.ts';
import type { Tables, WriteTransaction } from './schema.ts';

const binding = 'site';

/**
 * Who this site is: a UUID made at first start. Throws `Misconfigured` when the master key is not the one the site was
 * set up with, before anything is sealed under the wrong one.
 */
export async function identifySite(db: Kysely<Tables>, masterKey: Uint8Array): Promise<string> {
  const siteId = randomUUID();
  await db
    .insertInto('site')
    .values({ site_id: siteId, master_key_check: seal(masterKey, binding, siteId) })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await db.selectFrom('site').selectAll().executeTakeFirstOrThrow();
  unseal(masterKey, binding, row.master_key_check);
  return row.site_id;
}

/** Makes this site the one it was before its database was lost. */
export async function adoptSite(trx: WriteTransaction, masterKey: Uint8Array, siteId: string): Promise<void> {
  const site = { site_id: siteId, master_key_check: seal(masterKey, binding, siteId) };
  await trx
    .insertInto('site')
    .values(site)
    .onConflict((conflict) => conflict.column('only_row').doUpdateSet(site))
    .execute();
}

/** The id of the store that was found behind a name before, undefined for a new one. */
export async function knownStoreId(db: Kysely<Tables>, name: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('known_stores')
    .select('store_id')
    .where('name', '=', name)
    .executeTakeFirst();
  return row?.store_id;
}

export async function rememberStore(db: Kysely<Tables>, name: string, storeId: string): Promise<void> {
  await db
    .insertInto('known_stores')
    .values({ name, store_id: storeId })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
