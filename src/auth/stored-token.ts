import type { Kysely } from 'kysely';
import { shareReads } from '../core/share-reads.ts';
import { type Reading, readingKey } from '../db/reading.ts';
import type { Tables } from '../db/schema.ts';
import { findToken, noteTokenUse, rightsOfToken, type TokenWithRight } from '../db/tokens.ts';
import type { IdentityProvider, Principal } from './identity.ts';
import { hashSecret, sameBytes } from './secrets.ts';

export const tokenPrefix = 'forestay_';
export const tokenProviderName = 'token';
/** `last_used_at` is written no more often than this. */
const noteEveryMs = 60_000;

/** The tokens that operators make with `POST /v1/tokens`. */
export function storedTokenProvider(db: Kysely<Tables>): IdentityProvider {
  const find = shareReads(
    ({ secretHash, instanceGuid, along }: Wanted) =>
      `${secretHash.toString('base64')} ${instanceGuid} ${along && readingKey(along)}`,
    ({ secretHash, instanceGuid, along }) => findToken(db, { secretHash }, instanceGuid, along),
  );
  return {
    name: tokenProviderName,
    async authenticate(secret, instanceGuid, along) {
      if (!secret.startsWith(tokenPrefix)) return undefined;
      const secretHash = hashSecret(secret);
      const token = await find({ secretHash, instanceGuid, along });
      // The index found it by its hash; compared again in constant time, so that nothing rests on how an index compares.
      if (!token || !sameBytes(token.secretHash, secretHash)) return undefined;
      await noteUse(db, token);
      return { ...principalOf(db, token), along: token.along };
    },
    async resume(subject, instanceGuid) {
      const token = await findToken(db, { id: Number(subject) }, instanceGuid);
      return token && principalOf(db, token);
    },
  };
}

interface Wanted {
  readonly secretHash: Buffer;
  readonly instanceGuid: string | undefined;
  readonly along: Reading<unknown> | undefined;
}

function principalOf(db: Kysely<Tables>, token: TokenWithRight): Principal {
  return {
    id: `token:${token.id}`,
    name: token.name,
    operator: token.operator,
    right: token.right,
    provider: tokenProviderName,
    subject: String(token.id),
    visibleInstances: async () =>
      token.operator ? undefined : (await rightsOfToken(db, token.id)).map((right) => right.instanceGuid),
  };
}

async function noteUse(db: Kysely<Tables>, token: TokenWithRight): Promise<void> {
  const now = new Date();
  const notSince = new Date(now.getTime() - noteEveryMs);
  if (token.lastUsedAt && token.lastUsedAt >= notSince) return;
  await noteTokenUse(db, token.id, now, notSince);
}
