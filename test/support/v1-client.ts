import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupBody } from '../../src/http/v1/backups.ts';
import type { RestoreBody } from '../../src/http/v1/restores.ts';

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
}

/** The V1 API over HTTP, as any client outside uses it. Paths are those below `/v1/instances/`, unless they begin with `/`. */
export interface V1Client {
  readonly url: string;
  call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>;
  /** Registers a PostgreSQL database; resolves with the GUID of the instance. */
  register(connection: object, name?: string): Promise<string>;
  backUp(guid: string): Promise<number>;
  restore(guid: string, backupId: number): Promise<number>;
  backups(guid: string): Promise<BackupBody[]>;
  restores(guid: string): Promise<RestoreBody[]>;
  /** Waits until the backup has ended, however. */
  backupEnds(guid: string, id: number, timeoutMs?: number): Promise<BackupBody>;
  restoreEnds(guid: string, id: number, timeoutMs?: number): Promise<RestoreBody>;
}

export function v1Client({ url, token }: { url: string; token: string }): V1Client {
  const call: V1Client['call'] = async (method, path, body, headers = {}) => {
    const response = await fetch(`${url}${path.startsWith('/') ? path : `/v1/instances/${path}`}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: (text === '' ? {} : JSON.parse(text)) as never,
      headers: response.headers,
    };
  };
  const expecting = async <Body>(status: number, ...request: Parameters<V1Client['call']>): Promise<Body> => {
    const answer = await call<Body>(...request);
    if (answer.status === status) return answer.body;
    throw new Error(
      `${request[0]} ${request[1]} answered ${answer.status}, not ${status}: ${JSON.stringify(answer.body)}`,
    );
  };
  const ends = async <Body extends { status: string; finished_at: string }>(
    path: string,
    timeoutMs = 120_000,
  ): Promise<Body> => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const body = await expecting<Body>(200, 'GET', path);
      if (body.status !== 'queued' && body.status !== 'running') return body;
      if (Date.now() > deadline) throw new Error(`${path} has not ended: ${JSON.stringify(body)}`);
      await sleep(50);
    }
  };
  return {
    url,
    call,
    async register(connection, name = 'instance') {
      const body = { name, engine: 'postgresql', connection };
      return (await expecting<{ instance_id: string }>(201, 'POST', '/v1/instances', body)).instance_id;
    },
    backUp: async (guid) => (await expecting<{ id: number }>(201, 'POST', `${guid}/backups`)).id,
    restore: async (guid, id) =>
      (await expecting<{ id: number }>(202, 'POST', `${guid}/backups/${id}/restore`)).id,
    backups: (guid) => expecting(200, 'GET', `${guid}/backups`),
    restores: (guid) => expecting(200, 'GET', `${guid}/restores`),
    backupEnds: (guid, id, timeoutMs) => ends(`${guid}/backups/${id}`, timeoutMs),
    restoreEnds: (guid, id, timeoutMs) => ends(`${guid}/restores/${id}`, timeoutMs),
  };
}
