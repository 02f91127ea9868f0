import type { Kysely } from 'kysely';
import type { Reader, Tables } from './schema.ts';

/** Whose session it is: what the identity provider of that name is asked about again at every request. */
export interface SessionOwner {
  readonly provider: string;
  readonly subject: string;
}

export async function findSession(
  db: Reader,
  secretHash: Uint8Array,
  now: Date,
): Promise<SessionOwner | undefined> {
  return db
    .selectFrom('sessions')
    .select(['provider', 'subject'])
    .where('secret_hash', '=', secretHash)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Expired sessions go when a new one comes. */
export async function insertSession(
  db: Kysely<Tables>,
  session: SessionOwner & { secretHash: Uint8Array; expiresAt: Date },
  now: Date,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.deleteFrom('sessions').where('expires_at', '<=', now).execute();
    await trx
      .insertInto('sessions')
      .values({
        secret_hash: session.secretHash,
        provider: session.provider,
        subject: session.subject,
        expires_at: session.expiresAt,
      })
      .execute();
  });
}

export async function deleteSessionsOf(db: Kysely<Tables>, owner: SessionOwner): Promise<void> {
  await db
    .deleteFrom('sessions')
    .where('provider', '=', owner.provider)
    .where('subject', '=', owner.subject)
    .execute();
}
