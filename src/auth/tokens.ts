import type { Kysely } from 'kysely';
import { isGuid } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import type { Tables } from '../db/schema.ts';
import { deleteSessionsOf } from '../db/sessions.ts';
import { insertToken, revokeToken as markRevoked, type TokenRight } from '../db/tokens.ts';
import { hashSecret, makeSecret } from './secrets.ts';
import { tokenPrefix, tokenProviderName } from './stored-token.ts';

/** Makes a token. Its secret is in this answer only; the database keeps a hash. */
export async function createToken(
  db: Kysely<Tables>,
  token: { name: string; operator: boolean; rights: readonly TokenRight[] },
): Promise<{ id: number; createdAt: Date; secret: string; rights: TokenRight[] }> {
  const rights = token.rights.map(({ instanceGuid, right }) => ({
    instanceGuid: instanceGuid.toLowerCase(),
    right,
  }));
  const wrong = rights.find(({ instanceGuid }) => !isGuid(instanceGuid));
  if (wrong) throw new ForestayError('BadRequest', 'instances: every instance_id must be a GUID.');
  if (new Set(rights.map(({ instanceGuid }) => instanceGuid)).size < rights.length) {
    throw new ForestayError('BadRequest', 'instances: an instance_id is there twice.');
  }
  const secret = makeSecret(tokenPrefix);
  const { id, createdAt } = await db
    .transaction()
    .execute((trx) => insertToken(trx, { ...token, rights, secretHash: hashSecret(secret) }));
  return { id, createdAt, secret, rights };
}

/** Ends a token and its sessions at once. */
export async function revokeToken(db: Kysely<Tables>, id: number): Promise<void> {
  const found = await db.transaction().execute((trx) => markRevoked(trx, id, new Date()));
  if (!found) throw new ForestayError('NotFound', `There is no token ${id}.`);
  await deleteSessionsOf(db, { provider: tokenProviderName, subject: String(id) });
}
