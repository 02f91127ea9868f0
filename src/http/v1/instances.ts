import { type Static, Type } from 'typebox';
import { type Instance, listInstances } from '../../db/instances.ts';
import { changeInstance, deleteInstance, registerInstance } from '../../operations/instances.ts';
import { instanceOf, principalOf, requireGuid } from '../access.ts';
import type { App, HttpContext } from '../context.ts';
import { bodyErrors, errors, IdempotencyHeaders, listOf, ref } from '../documented.ts';
import { idempotently } from '../idempotency.ts';
import { answerPage } from '../pages.ts';
import { requestSignal } from '../request-signal.ts';
import { InstanceParams, MessageBody, PageQuery, Time } from '../schemas.ts';

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

const tags = ['Instances'];

export function instanceRoutes(app: App, context: HttpContext): void {
  const { operations } = context;

  app.get(
    '/v1/instances',
    {
      config: { action: 'instance.list' },
      schema: {
        ...{
          tags,
          summary: 'List the instances that the caller may see, deleted ones too',
          querystring: PageQuery,
        },
        response: { 200: listOf<InstanceBody>(InstanceBody, 'Newest first.'), ...errors() },
      },
    },
    async (request, reply) => {
      const guids = await principalOf(request).visibleInstances();
      return answerPage(request, reply, context, async (page) =>
        (await listInstances(operations.db, { guids, ...page })).map((instance) => bodyOf(context, instance)),
      );
    },
  );

  app.post(
    '/v1/instances',
    {
      config: { action: 'instance.register' },
      schema: {
        ...{
          tags,
          summary: 'Register an instance',
          body: RegisterInstanceRequest,
          headers: IdempotencyHeaders,
        },
        description:
          'The connection is tried first. The GUID of a deleted instance gets its backups and keys back.',
        response: {
          201: ref<RegisteredInstanceBody>(RegisteredInstanceBody, 'The instance can be backed up.'),
          ...bodyErrors(409, 422, 502),
        },
      },
    },
    async (request, reply) => {
      const { instance_id: instanceId, name, engine, connection, pool } = request.body;
      const body = await idempotently(context, request, async (once) => {
        const registration = { instanceId, name, engine, connection, pool };
        const { instance, probe } = await registerInstance(once, registration, requestSignal(reply));
        return {
          ...bodyOf(context, instance),
          engine_version: probe.engineVersion,
          warnings: [...probe.warnings],
        };
      });
      return reply.code(201).send(body);
    },
  );

  app.get(
    '/v1/instances/:guid',
    {
      config: { action: 'instance.view' },
      schema: {
        ...{ tags, summary: 'Get the overview of an instance', params: InstanceParams },
        response: { 200: ref<InstanceBody>(InstanceBody, 'The instance.'), ...errors() },
      },
    },
    async (request) => bodyOf(context, await instanceOf(context, request)),
  );

  app.patch(
    '/v1/instances/:guid',
    {
      config: { action: 'instance.change' },
      schema: {
        ...{
          tags,
          summary: 'Change name, connection or pool',
          params: InstanceParams,
          body: ChangeInstanceRequest,
        },
        response: {
          200: ref<InstanceBody>(InstanceBody, 'The instance as it is now.'),
          ...bodyErrors(422, 502),
        },
      },
    },
    async (request, reply) => {
      const { name, connection, pool } = request.body;
      const change = { name, connection, pool };
      return bodyOf(
        context,
        await changeInstance(operations, requireGuid(request), change, requestSignal(reply)),
      );
    },
  );

  app.delete(
    '/v1/instances/:guid',
    {
      config: { action: 'instance.delete' },
      schema: {
        ...{ tags, summary: 'Take an instance out of care', params: InstanceParams },
        description: 'The instance itself is not touched; its backups and keys stay.',
        response: { 200: ref<MessageBody>(MessageBody, 'It is not backed up any more.'), ...bodyErrors(409) },
      },
    },
    async (request) => {
      await deleteInstance(operations, requireGuid(request));
      return { message: 'The instance has been deleted. Its backups are kept.' };
    },
  );
}

function bodyOf({ publicUrl }: HttpContext, instance: Instance): InstanceBody {
  return {
    id: instance.id,
    name: instance.name,
    state: instance.state,
    plan_id: '',
    service_id: instance.engine,
    tenant_id: '',
    tenant_name: '',
    subtenant_id: '',
    subtenant_name: '',
    created_at: instance.createdAt.toISOString(),
    updated_at: instance.updatedAt.toISOString(),
    urls: [
      { id: 'dashboard', display_name: 'Dashboard', link: `${publicUrl}/service-instances/${instance.guid}` },
    ],
    available_updates: [],
    instance_id: instance.guid,
    engine: instance.engine,
    pool: instance.pool,
  };
}
