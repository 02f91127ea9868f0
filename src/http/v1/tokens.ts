import { type Static, Type } from 'typebox';
import { NullableTime, Time } from '../schemas.ts';

const Right = Type.Enum(['view', 'manage'], {
  type: 'string',
  description: '`view`: lists and details. `manage`: everything on the instance, downloads too.',
});
const TokenRights = Type.Array(
  Type.Object({ instance_id: Type.String({ description: 'The GUID of the instance.' }), right: Right }),
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
