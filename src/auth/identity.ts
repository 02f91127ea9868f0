import type { Reading } from '../db/reading.ts';
import type { Right } from '../db/tokens.ts';

/** Who is asking, and what they may do to the instance that they ask about. */
export interface Principal {
  /** For logs and for the scope of idempotency keys: `admin`, `token:12`. No secret. */
  readonly id: string;
  readonly name: string;
  /** Operators may do everything, to every instance. */
  readonly operator: boolean;
  /** On the instance that was asked about; undefined without one, or without a right. */
  readonly right: Right | undefined;
  /** What a session of theirs is bound to: the name of the provider that knows them, and as whom. */
  readonly provider: string;
  readonly subject: string;
  /** What was read along with the credential, where the provider has it in the same database and they have a right. */
  readonly along?: unknown;
  /** The GUIDs of the instances they may see; undefined for operators, who may see all. */
  visibleInstances(): Promise<readonly string[] | undefined>;
}

/**
 * The seam for ways to log in: tokens of this site today. A provider is asked with every request, so that a right that was
 * taken away is gone at once. It compares secrets in constant time and keeps none.
 */
export interface IdentityProvider {
  readonly name: string;
  /**
   * Who the bearer credential belongs to; undefined when it is wrong, or not one of this provider's. A provider may do
   * `along` in its own round trip, and need not.
   */
  authenticate(
    secret: string,
    instanceGuid: string | undefined,
    along?: Reading<unknown>,
  ): Promise<Principal | undefined>;
  /** Who a session was started for; undefined when their credential is not valid any more. */
  resume(subject: string, instanceGuid: string | undefined): Promise<Principal | undefined>;
}

/** Asks one provider after another. */
export async function identify(
  providers: readonly IdentityProvider[],
  secret: string,
  instanceGuid: string | undefined,
  along?: Reading<unknown>,
): Promise<Principal | undefined> {
  for (const provider of providers) {
    const principal = await provider.authenticate(secret, instanceGuid, along);
    if (principal) return principal;
  }
  return undefined;
}
