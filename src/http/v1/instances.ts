import { type Static, Type } from 'typebox';
import { Time } from '../schemas.ts';

export const InstanceBody = Type.Object(
  {
    id: Type.Integer({ description: 'The internal ID of the instance.' }),
    name: Type.String(),
    state: Type.Enum(['provisioned', 'deleted'], { type: 'string' }),
    plan_id: Type.String({ description: 'Of the broker; empty when nobody told it.' }),
    service_id: Type.String({ description: 'The data service: the name of the engine.' }),
    tenant_id: Type.String(),
    tenant_name: Type.String(),
    subtenant_id: Type.String(),
    subtenant_name: Type.String(),
    created_at: Time('When the instance was registered.'),
    updated_at: Time('When it was last changed.'),
    urls: Type.Array(
      Type.Object({ id: Type.String(), display_name: Type.String(), link: Type.String({ format: 'uri' }) }),
    ),
    available_updates: Type.Array(
      Type.Object({ name: Type.String(), type: Type.String(), version: Type.String() }),
      { description: 'Always empty: Forestay does not maintain instances.' },
    ),
    instance_id: Type.String({ description: 'The GUID of the instance.' }),
    engine: Type.String(),
    pool: Type.String({ description: 'The queue whose workers can reach the instance.' }),
  },
  { $id: 'Instance' },
);
export type InstanceBody = Static<typeof InstanceBody>;

export const RegisteredInstanceBody = Type.Object(
  {
    ...InstanceBody.properties,
    engine_version: Type.String({ description: 'What the probe found.' }),
    warnings: Type.Array(Type.String(), {
      description: 'What will not work, or not fully, with this connection.',
    }),
  },
  { $id: 'RegisteredInstance' },
);
export type RegisteredInstanceBody = Static<typeof RegisteredInstanceBody>;

// Text that people see: not empty, no control characters (PostgreSQL cannot keep NUL).
const Name = Type.String({ minLength: 1, maxLength: 200, pattern: '^[^\\u0000-\\u001f\\u007f]*$' });
const Pool = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$',
  description: 'Letters, digits, - and _; at most 50.',
});
const ConnectionBody = Type.Record(Type.String(), Type.Unknown(), {
  description: 'As the `connection_schema` of the engine says. It is never answered.',
});

export const RegisterInstanceRequest = Type.Object({
  instance_id: Type.Optional(
    Type.String({ description: 'The GUID that the broker gave it; made up when missing.' }),
  ),
  name: Name,
  engine: Type.String({ description: 'One of `GET /v1/engines`.', examples: ['postgresql'] }),
  connection: ConnectionBody,
  pool: Type.Optional(Pool),
});
export type RegisterInstanceRequest = Static<typeof RegisterInstanceRequest>;

export const ChangeInstanceRequest = Type.Object({
  name: Type.Optional(Name),
  connection: Type.Optional(ConnectionBody),
  pool: Type.Optional(Pool),
});
export type ChangeInstanceRequest = Static<typeof ChangeInstanceRequest>;
