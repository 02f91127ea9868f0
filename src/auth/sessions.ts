import type { Kysely } from 'kysely';
import type { Tables } from '../db/schema.ts';
import { findSession, insertSession } from '../db/sessions.ts';
import type { IdentityProvider, Principal } from './identity.ts';
import { hashSecret, makeSecret } from './secrets.ts';

export const sessionHours = 12;

/** Starts a session; the secret goes into a cookie, the database keeps its hash. */
export async function startSession(db: Kysely<Tables>, principal: Principal): Promise<string> {
  const secret = makeSecret('');
  const now = new Date();
  const expiresAt = new Date(now.getTime() + sessionHours * 60 * 60 * 1000);
  const { provider, subject } = principal;
  await insertSession(db, { provider, subject, secretHash: hashSecret(secret), expiresAt }, now);
  return secret;
}

/** Whose session it is. The provider is asked again, so a session ends with the credential it was started with. */
export async function resumeSession(
  db: Kysely<Tables>,
  providers: readonly IdentityProvider[],
  secret: string,
  instanceGuid: string | undefined,
): Promise<Principal | undefined> {
  const owner = await findSession(db, hashSecret(secret), new Date());
  const provider = owner && providers.find((candidate) => candidate.name === owner.provider);
  return provider?.resume(owner!.subject, instanceGuid);
}
