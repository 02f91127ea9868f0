import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { App } from './context.ts';

/** The id that a proxy gave the request, where it is one that a log can hold; else one of ours. */
export function requestId(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : randomUUID();
}

/**
 * One line a request: who asked for what, what came of it, how long it took. Never headers, bodies or queries, which may
 * hold secrets.
 */
export function addRequestLog(app: App): void {
  app.addHook('onRequest', (request, reply, done) => {
    // Not onResponse, which is silent about answers that were broken off.
    reply.raw.once('close', () => {
      const fields = {
        method: request.method,
        path: request.url.split('?')[0]?.slice(0, 500),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        caller: request.principal?.id,
        address: request.ip,
        // The client went away, or the answer had to be broken off.
        ...(!reply.raw.writableFinished && { aborted: true }),
      };
      request.log.info(fields, 'request');
    });
    done();
  });
}
