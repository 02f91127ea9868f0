import type { FastifyReply, FastifyRequest } from 'fastify';
import { noteFailedLogin } from '../auth/attempts.ts';
import { identify, type Principal } from '../auth/identity.ts';
import { type Action, authorise, permissions } from '../auth/permissions.ts';
import { resumeSession } from '../auth/sessions.ts';
import { isGuid } from '../core/backup.ts';
import { ForestayError } from '../core/errors.ts';
import { findInstance, type Instance } from '../db/instances.ts';
import type { Reading } from '../db/reading.ts';
import type { App, HttpContext } from './context.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route does; the permissions table says who may. Every route must say. */
    action?: Action;
    /**
     * What the route will read, where its address says so: the provider may read it in the same round trip as the
     * credential, for callers with a right on the instance of the address, so it is to be of that instance only. What came
     * of it is in `principal.along`; the route reads itself where there is nothing.
     */
    along?: (request: FastifyRequest) => Reading<unknown> | undefined;
  }
  interface FastifyRequest {
    principal: Principal | null;
  }
}

export const sessionCookie = 'forestay_session';

/** Asks every request who it is and whether they may, before its body is read. A route that does not say its action does not start. */
export function addAccessControl(app: App, context: HttpContext): void {
  app.decorateRequest('principal', null);
  app.addHook('onRoute', (route) => {
    // The routes of a plugin, which knows nothing of actions.
    if (route.url === '/docs' || route.url.startsWith('/docs/')) {
      route.config = { ...route.config, action: 'service.look' };
    }
    if (route.config?.action === undefined)
      throw new Error(`The route ${route.method} ${route.url} has no action.`);
  });
  app.addHook('onRequest', async (request) => {
    const { action } = request.routeOptions.config;
    // Only what is not a route has none: that is answered 404.
    if (action === undefined || permissions[action] === 'anyone') return;
    request.principal = await authenticate(context, request);
    authorise(request.principal, action);
  });
}

export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new ForestayError('Unauthorized', 'No credential was checked.');
  return request.principal;
}

/** The GUID that the address names; what is none is passed on to nothing. */
export function guidOf(request: FastifyRequest): string | undefined {
  const { guid } = request.params as { guid?: string };
  return guid !== undefined && isGuid(guid) ? guid.toLowerCase() : undefined;
}

/** The instance that the address names, deleted ones too. Throws `InstanceNotFound`. */
export async function instanceOf(context: HttpContext, request: FastifyRequest): Promise<Instance> {
  const guid = guidOf(request);
  const instance = guid && (await findInstance(context.operations.db, guid));
  if (!instance) throw instanceNotFound();
  return instance;
}

/** The GUID for an operation, which finds out itself whether there is such an instance. */
export function requireGuid(request: FastifyRequest): string {
  const guid = guidOf(request);
  if (!guid) throw instanceNotFound();
  return guid;
}

export function instanceNotFound(): ForestayError {
  return new ForestayError('InstanceNotFound', 'There is no such instance.');
}

/** A bearer token decides alone; without one, the session cookie. */
async function authenticate(context: HttpContext, request: FastifyRequest): Promise<Principal> {
  const { db } = context.operations;
  const guid = guidOf(request);
  const { authorization } = request.headers;
  const { along } = request.routeOptions.config;
  if (authorization !== undefined) {
    const secret = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (secret === undefined)
      throw unauthorized('The Authorization header is not of the form "Bearer <token>".');
    const principal = await identify(context.identity, secret, guid, along?.(request));
    if (principal) return principal;
    await noteFailedLogin(db, request.ip);
    throw unauthorized('The token is wrong, or was revoked.');
  }
  const cookie = request.cookies[sessionCookie];
  if (cookie === undefined) throw unauthorized('A credential is needed.');
  const principal = await resumeSession(db, context.identity, cookie, guid);
  if (!principal) {
    await noteFailedLogin(db, request.ip);
    throw unauthorized('The session is over.');
  }
  refuseForgery(context, request);
  return principal;
}

function unauthorized(message: string): ForestayError {
  return new ForestayError('Unauthorized', message, {
    hint: 'Send the header "Authorization: Bearer <token>".',
  });
}

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A browser sends the cookie by itself, so another site's page could have it change something (CSRF). The cookie is
 * SameSite=Lax, which keeps it from cross-site POSTs in browsers that know it; for all others, and for sites on
 * sibling subdomains, which SameSite lets through, the two headers that pages cannot forge are checked: Sec-Fetch-Site and
 * Origin. Programs send neither, and are not tricked by pages. A bearer token is never sent by a browser itself, so it
 * needs none of this.
 */
function refuseForgery(context: HttpContext, request: FastifyRequest): void {
  if (safeMethods.has(request.method)) return;
  const site = request.headers['sec-fetch-site'];
  const { origin } = request.headers;
  const own = [
    new URL(context.publicUrl).origin,
    `http://${request.headers.host}`,
    `https://${request.headers.host}`,
  ];
  if ((site === undefined || site === 'same-origin') && (origin === undefined || own.includes(origin)))
    return;
  throw new ForestayError('Forbidden', 'A page of another site sent this request.', {
    hint: 'Programs send the header "Authorization: Bearer <token>" instead of the cookie.',
  });
}

/** The cookie that carries a session. */
export function setSessionCookie(
  context: HttpContext,
  reply: FastifyReply,
  secret: string,
  maxAgeSeconds: number,
): void {
  void reply.setCookie(sessionCookie, secret, {
    path: '/',
    httpOnly: true,
    sameSite: 'lax',
    secure: context.publicUrl.startsWith('https:'),
    maxAge: maxAgeSeconds,
  });
}
