import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { BackupConfigBody } from '../../src/http/v1/backup-config.ts';
import type { BackupBody } from '../../src/http/v1/backups.ts';
import type { EngineBody } from '../../src/http/v1/engines.ts';
import type { InstanceBody } from '../../src/http/v1/instances.ts';
import type { RestorePlanBody } from '../../src/http/v1/restore-plan.ts';
import type { RestoreBody } from '../../src/http/v1/restores.ts';
import type { TokenBody } from '../../src/http/v1/tokens.ts';

/** What a V1 API answers, without a site behind it: the command line is tested against real HTTP. */
export interface FakeSite extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly requests: readonly RecordedRequest[];
  /** Replaces or adds an answer; the key is `GET /v1/instances`. */
  on(call: string, handler: Handler): void;
}

export interface RecordedRequest {
  readonly call: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

/** An object is answered as JSON with status 200; a handler that answers by itself returns undefined. */
export type Handler = (request: RecordedRequest, response: ServerResponse) => unknown;

export const guid = 'c4b3f7a0-8d1e-4c7a-9f57-0d9f3e1a2b3c';
export const backupGuid = '3a2e59ee-40cb-472a-91d0-502ab259918c';
export const token = 'the-token-of-the-tests-0123456789';
const path = `/v1/instances/${guid}`;
const time = '2026-01-31T12:00:00.000Z';

export const instance: InstanceBody = {
  id: 1,
  instance_id: guid,
  name: 'orders',
  state: 'provisioned',
  engine: 'postgresql',
  pool: 'default',
  plan_id: '',
  service_id: 'postgresql',
  tenant_id: '',
  tenant_name: '',
  subtenant_id: '',
  subtenant_name: '',
  created_at: time,
  updated_at: time,
  urls: [],
  available_updates: [],
};

export const backup: BackupBody = {
  id: 7,
  backup_id: `${backupGuid}-1769860800000`,
  size: 2048,
  status: 'done',
  triggered_at: time,
  started_at: time,
  finished_at: time,
  downloadable: true,
  error: null,
  progress: null,
  key_version: 2,
  sha256: 'a'.repeat(64),
  engine_version: '15.18',
  attempt: 1,
  copies: [{ store: 's3://elsewhere', status: 'done', finished_at: time }],
};

export const restore: RestoreBody = {
  id: 3,
  backup_id: 7,
  metadata: { restored_from: time },
  status: 'done',
  triggered_at: time,
  started_at: time,
  finished_at: time,
  error: null,
  progress: null,
  attempt: 1,
  method: 'staged',
  switch_ms: 41,
  not_kept: ['The role reporting does not exist in the instance.'],
  notes: [],
  undo_until: '2026-02-01T12:00:00.000Z',
  undone_at: null,
};

export const plan: RestorePlanBody = {
  added: [{ kind: 'queue', name: 'orders', within: 'vhost shop' }],
  changed: [{ kind: 'user', name: 'app', within: null, differs: ['tags'] }],
  removed: [],
  not_kept: ['The queue "old" holds 3 messages: it will be left.'],
};

const config: BackupConfigBody = {
  exclude_from_auto_backup: false,
  min_backup_count: 5,
  retention_time: 30,
  min_encryption_key_length: 8,
  backup_guid: backupGuid,
  key_version: 2,
  key_set_by: 'user',
};

const engine: EngineBody = {
  name: 'postgresql',
  connection_schema: {
    type: 'object',
    required: ['host', 'password'],
    properties: {
      host: { type: 'string', description: 'Name or address of the server.' },
      port: { type: 'integer', default: 5432 },
      password: { type: 'string', format: 'password' },
    },
  },
  restore_is_atomic: true,
  not_included: [],
  undo: true,
  restore_plan: true,
};

export const listedToken: TokenBody = {
  id: 4,
  name: 'ci',
  operator: false,
  instances: [{ instance_id: guid, right: 'view' }],
  created_at: time,
  last_used_at: null,
};

export const tokenSecret = 'forestay-token-that-is-shown-once';

const usual: Record<string, Handler> = {
  'GET /healthz': () => ({ status: 'ok' }),
  'GET /readyz': () => ({ status: 'ok' }),
  'GET /v1/engines': () => [engine],
  'GET /v1/instances': () => [instance],
  'POST /v1/instances': (_request, response) => {
    response.statusCode = 201;
    return { ...instance, engine_version: '15.18', warnings: ['The server has no TLS.'] };
  },
  [`GET ${path}`]: () => instance,
  [`DELETE ${path}`]: () => ({ message: 'gone' }),
  [`GET ${path}/backup-config`]: () => config,
  [`PATCH ${path}/backup-config`]: () => ({ message: 'the key is set' }),
  [`GET ${path}/backups`]: () => [backup],
  [`POST ${path}/backups`]: () => ({ id: 7, message: 'queued' }),
  [`GET ${path}/backups/7`]: () => backup,
  [`DELETE ${path}/backups/7`]: () => ({ message: 'removed' }),
  [`POST ${path}/backups/7/cancel`]: () => ({ message: 'canceled' }),
  [`POST ${path}/backups/7/restore`]: () => ({ id: 3, restore_id: 3 }),
  [`GET ${path}/backups/7/restore-plan`]: () => plan,
  [`GET ${path}/restores`]: () => [restore],
  [`GET ${path}/restores/3`]: () => restore,
  [`POST ${path}/restores/3/undo`]: () => ({ message: 'undone' }),
  [`POST ${path}/restores/3/cancel`]: () => ({ message: 'canceled' }),
  [`POST ${path}/disaster-recovery/prepare`]: () => ({ backup_guid: backupGuid }),
  [`POST ${path}/disaster-recovery/perform`]: () => ({ restore_id: 3 }),
  'GET /v1/tokens': () => [listedToken],
  'POST /v1/tokens': () => ({ ...listedToken, secret: tokenSecret }),
  'DELETE /v1/tokens/4': () => ({ message: 'revoked' }),
};

export async function startFakeSite(): Promise<FakeSite> {
  const handlers = new Map(Object.entries(usual));
  const requests: RecordedRequest[] = [];
  const server = createServer(async (message, response) => {
    const content = await text(message);
    const url = message.url ?? '';
    const request: RecordedRequest = {
      call: `${message.method} ${url.split('?')[0]}`,
      url,
      headers: message.headers,
      body: content === '' ? undefined : JSON.parse(content),
    };
    requests.push(request);
    const open = request.url === '/healthz' || request.url === '/readyz';
    if (!open && message.headers.authorization !== `Bearer ${token}`) {
      return fail(response, 401, 'Unauthorized', 'The token is not valid.');
    }
    const handler = handlers.get(request.call);
    if (!handler) return fail(response, 404, 'NotFound', `There is nothing at ${request.call}.`);
    const answer = await handler(request, response);
    if (answer === undefined) return;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    requests,
    on: (call, handler) => handlers.set(call, handler),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export function fail(
  response: ServerResponse,
  status: number,
  error: string,
  description: string,
): undefined {
  response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'request-1' });
  response.end(JSON.stringify({ error, description }));
}
