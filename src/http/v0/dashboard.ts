import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { sessionHours, startSession } from '../../auth/sessions.ts';
import { instanceOf, principalOf, setSessionCookie } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { v0Errors } from '../documented.ts';
import { answerOf, sendError } from '../errors.ts';
import { page } from '../html.ts';
import { InstanceParams } from '../schemas.ts';

const DashboardBody = Type.Object({
  id: Type.Integer({ description: 'The internal ID of the Service Instance.' }),
  instance_id: Type.String({ description: 'The GUID of the Service Instance.' }),
  name: Type.String(),
  state: Type.String(),
});

/**
 * The dashboard URL of an instance: where the old flow begins, with one GET that carries the bearer header and gets a
 * cookie, which then works alone for V0 and V1.
 */
export function v0DashboardRoutes(app: App, context: HttpContext): void {
  app.get(
    '/service-instances/:guid',
    {
      config: { action: 'instance.view' },
      schema: {
        ...{
          tags: ['V0 (deprecated)'],
          summary: 'Open the dashboard, and a session',
          params: InstanceParams,
        },
        response: {
          200: {
            description: 'The instance; sets a session cookie when the request carries a bearer token.',
            content: {
              'application/json': { schema: DashboardBody },
              'text/html': { schema: { type: 'string' } },
            },
          },
          ...v0Errors(),
        },
      },
      errorHandler: answerError,
    },
    async (request, reply) => {
      const instance = await instanceOf(context, request);
      if (request.headers.authorization !== undefined) {
        const secret = await startSession(context.operations.db, principalOf(request));
        setSessionCookie(context, reply, secret, sessionHours * 60 * 60);
      }
      const { id, guid, name, state } = instance;
      if (!wantsHtml(request))
        return reply.type('application/json').send({ id, instance_id: guid, name, state });
      void reply.type('text/html; charset=utf-8');
      return reply.send(
        page(name, [`Service instance ${guid}, ${instance.engine}, ${state}.`], {
          href: `${context.publicUrl}/docs`,
          text: 'The API of this service',
        }),
      );
    },
  );
}

/** Browsers name text/html; curl and libraries take anything. */
function wantsHtml(request: FastifyRequest): boolean {
  return /\btext\/html\b/i.test(request.headers.accept ?? '');
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  if (!wantsHtml(request)) {
    sendError(error, request, reply);
    return;
  }
  const answer = answerOf(error, request.id);
  void reply.code(answer.status).headers(answer.headers).type('text/html; charset=utf-8');
  void reply.serializer(String).send(page('Forestay', [answer.description]));
}
