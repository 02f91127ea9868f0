import { type Static, Type } from 'typebox';
import { createToken, revokeToken } from '../../auth/tokens.ts';
import { ForestayError } from '../../core/errors.ts';
import { listTokens, type TokenRight } from '../../db/tokens.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, errors, IdempotencyHeaders, listOf, ref } from '../documented.ts';
import { idempotently } from '../idempotency.ts';
import { parseId } from '../numbers.ts';
import { answerPage } from '../pages.ts';
import { MessageBody, NullableTime, PageQuery, Time } from '../schemas.ts';

const Right = Type.Enum(['view', 'manage'], {
  type: 'string',
  description: '`view`: lists and details. `manage`: everything on the instance, downloads too.',
});
const TokenRights = Type.Array(
  Type.Object({ instance_id: Type.String({ description: 'The GUID of the instance.' }), right: Right }),
  { maxItems: 1000 },
);

export const TokenBody = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    operator: Type.Boolean({ description: 'May do everything.' }),
    instances: TokenRights,
    created_at: Time('When the token was made.'),
    last_used_at: NullableTime('When it was last used, give or take a minute.'),
  },
  { $id: 'Token' },
);
export type TokenBody = Static<typeof TokenBody>;

export const CreatedTokenBody = Type.Object(
  {
    ...TokenBody.properties,
    secret: Type.String({
      description: 'What to send as `Authorization: Bearer …`. It is answered this once.',
    }),
  },
  { $id: 'CreatedToken' },
);
export type CreatedTokenBody = Static<typeof CreatedTokenBody>;

export const CreateTokenRequest = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f]*$' }),
  operator: Type.Optional(Type.Boolean({ default: false })),
  instances: Type.Optional(TokenRights),
});
export type CreateTokenRequest = Static<typeof CreateTokenRequest>;

const tags = ['Tokens'];

export function tokenRoutes(app: App, context: HttpContext): void {
  const { operations } = context;

  app.get(
    '/v1/tokens',
    {
      config: { action: 'token.list' },
      schema: {
        ...{ tags, summary: 'List the tokens that are not revoked', querystring: PageQuery },
        response: { 200: listOf<TokenBody>(TokenBody, 'Newest first; never a secret.'), ...errors() },
      },
    },
    (request, reply) =>
      answerPage(request, reply, context, async (page) =>
        (await listTokens(operations.db, page)).map((token) => ({
          id: token.id,
          name: token.name,
          operator: token.operator,
          instances: token.rights.map(rightBody),
          created_at: token.createdAt.toISOString(),
          last_used_at: token.lastUsedAt?.toISOString() ?? null,
        })),
      ),
  );

  app.post(
    '/v1/tokens',
    {
      config: { action: 'token.create' },
      schema: {
        ...{ tags, summary: 'Make a token', body: CreateTokenRequest, headers: IdempotencyHeaders },
        response: {
          201: ref<CreatedTokenBody>(CreatedTokenBody, 'The token, with its secret.'),
          ...bodyErrors(422),
        },
      },
    },
    async (request, reply) => {
      const { name, operator = false, instances = [] } = request.body;
      const rights = instances.map(({ instance_id: instanceGuid, right }) => ({ instanceGuid, right }));
      const body = await idempotently(context, request, async (once) => {
        const token = await createToken(once.db, { name, operator, rights });
        return {
          id: token.id,
          name,
          operator,
          instances: token.rights.map(rightBody),
          created_at: token.createdAt.toISOString(),
          last_used_at: null,
          secret: token.secret,
        };
      });
      return reply.code(201).send(body);
    },
  );

  app.delete(
    '/v1/tokens/:id',
    {
      config: { action: 'token.revoke' },
      schema: {
        ...{ tags, summary: 'Revoke a token, and end its sessions' },
        params: Type.Object({ id: Type.Unsafe<string>({ type: 'integer', minimum: 1 }) }),
        response: { 200: ref<MessageBody>(MessageBody, 'It is not valid any more.'), ...bodyErrors() },
      },
    },
    async (request) => {
      const id = parseId(request.params.id);
      if (id === undefined) throw new ForestayError('NotFound', 'There is no such token.');
      await revokeToken(operations.db, id);
      return { message: 'The token has been revoked.' };
    },
  );
}

function rightBody({ instanceGuid, right }: TokenRight) {
  return { instance_id: instanceGuid, right };
}
