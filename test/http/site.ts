import { pino } from 'pino';
import { adminTokenProvider } from '../../src/auth/admin-token.ts';
import { storedTokenProvider } from '../../src/auth/stored-token.ts';
import { createToken } from '../../src/auth/tokens.ts';
import type { Right } from '../../src/db/tokens.ts';
import type { App, HttpSettings } from '../../src/http/context.ts';
import { createServer } from '../../src/http/server.ts';
import { makeTestSite, type TestSite, type TestSiteOptions } from '../support/test-site.ts';

export const adminToken = 'test-admin-token-0123456789';
export const asAdmin = { authorization: `Bearer ${adminToken}` };

/** A test site with its HTTP server, and what the server logged. */
export interface HttpSite extends AsyncDisposable {
  readonly site: TestSite;
  readonly server: App;
  readonly requestLog: string[];
  /** A token with one right on one instance, as headers. */
  tokenFor(right: Right, guid: string): Promise<{ authorization: string }>;
  operatorToken(): Promise<{ authorization: string }>;
}

export async function makeHttpSite(
  options: TestSiteOptions & Partial<Pick<HttpSettings, 'publicUrl' | 'readiness' | 'operations'>> = {},
): Promise<HttpSite> {
  const site = await makeTestSite(options);
  const requestLog: string[] = [];
  const server = await createServer({
    operations: options.operations ?? site.context,
    identity: [adminTokenProvider(adminToken), storedTokenProvider(site.context.db)],
    publicUrl: options.publicUrl,
    log: pino({ level: 'debug' }, { write: (line: string) => requestLog.push(line) }),
    ...(options.readiness && { readiness: options.readiness }),
  });
  const { db } = site.context;
  return {
    site,
    server,
    requestLog,
    async tokenFor(right, guid) {
      const token = await createToken(db, {
        name: right,
        operator: false,
        rights: [{ instanceGuid: guid, right }],
      });
      return { authorization: `Bearer ${token.secret}` };
    },
    async operatorToken() {
      const token = await createToken(db, { name: 'operator', operator: true, rights: [] });
      return { authorization: `bearer ${token.secret}` };
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await site[Symbol.asyncDispose]();
    },
  };
}
