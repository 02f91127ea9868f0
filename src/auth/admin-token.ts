import type { IdentityProvider, Principal } from './identity.ts';
import { hashSecret, sameBytes } from './secrets.ts';

/** The operator of `FORESTAY_ADMIN_TOKEN`: works also when nothing was ever set up. */
export function adminTokenProvider(adminToken: string): IdentityProvider {
  const expected = Buffer.from(adminToken);
  // Sessions end when the token is replaced, so they are bound to it; hashed once more, because this one is not secret.
  const subject = hashSecret(`session:${hashSecret(adminToken).toString('hex')}`).toString('hex');
  const admin: Principal = {
    id: 'admin',
    name: 'admin',
    operator: true,
    right: undefined,
    provider: 'admin',
    subject,
    visibleInstances: async () => undefined,
  };
  return {
    name: 'admin',
    // Only its length can be told from the time this takes.
    authenticate: async (secret) => (sameBytes(Buffer.from(secret), expected) ? admin : undefined),
    resume: async (claimed) => (claimed === subject ? admin : undefined),
  };
}
