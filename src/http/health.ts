import { Type } from 'typebox';
import type { App, HttpContext } from './context.ts';
import { loggedError } from './logged-error.ts';
import { requestSignal } from './request-signal.ts';

/** Longer than this and the answer is no, in milliseconds. */
const readyWithinMs = 5000;

const Ready = Type.Object({ status: Type.String(), reasons: Type.Array(Type.String()) });

export function healthRoutes(app: App, context: HttpContext): void {
  app.get(
    '/healthz',
    {
      config: { action: 'service.look' },
      schema: {
        ...{ tags: ['Service'], summary: 'Whether the process lives', security: [] },
        response: {
          200: { ...Type.Object({ status: Type.String(), version: Type.String() }), description: 'It does.' },
        },
      },
    },
    async () => ({ status: 'ok', version: context.version }),
  );

  app.get(
    '/readyz',
    {
      config: { action: 'service.look' },
      schema: {
        ...{ tags: ['Service'], summary: 'Whether work can be taken on', security: [] },
        response: {
          200: { ...Ready, description: 'It can.' },
          503: { ...Ready, description: 'Not now; why not.' },
        },
      },
    },
    async (request, reply) => {
      const signal = AbortSignal.any([requestSignal(reply), AbortSignal.timeout(readyWithinMs)]);
      const { ready, reasons } = await context.readiness(signal).catch((error: unknown) => {
        request.log.error({ err: loggedError(error) }, 'readiness could not be told');
        return { ready: false, reasons: ['The service could not find out within 5 seconds.'] };
      });
      return reply
        .code(ready ? 200 : 503)
        .send({ status: ready ? 'ready' : 'not ready', reasons: [...reasons] });
    },
  );
}
