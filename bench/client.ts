import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupBody } from '../src/http/v1/backups.ts';
import type { RestoreBody } from '../src/http/v1/restores.ts';
import type { Dataset } from './dataset.ts';
import type { Site } from './site.ts';

/** What a backup or restore took, in seconds, as somebody sees it who asks for it through the API. */
export interface TaskTimes<Body> {
  /** From the request until the API says `done`. */
  readonly requestToDone: number;
  /** `started_at` (a worker claimed it) to `finished_at`. */
  readonly claimToDone: number;
  readonly body: Body;
}

/** When the API is asked again, in milliseconds: often enough for a result exact to 2 %, and seldom enough not to disturb. */
const pauseAfter = (waitedMs: number) => Math.min(250, 25 + waitedMs / 50);

export function registerInstance(site: Site, { database, url }: Dataset): Promise<string> {
  return register(site, { name: database, engine: 'postgresql', connection: { url } });
}

/** Resolves with the GUID of the instance. */
export async function register(
  site: Site,
  body: {
    readonly name: string;
    readonly engine: string;
    readonly connection: Readonly<Record<string, unknown>>;
  },
): Promise<string> {
  const { instance_id } = await call<{ instance_id: string }>(site, 'POST', '/v1/instances', body);
  return instance_id;
}

export async function backUp(site: Site, guid: string, signal: AbortSignal): Promise<TaskTimes<BackupBody>> {
  const backups = `/v1/instances/${guid}/backups`;
  return timed<BackupBody>(site, signal, backups, (id) => `${backups}/${id}`);
}

export async function restore(
  site: Site,
  guid: string,
  backupId: number,
  signal: AbortSignal,
): Promise<TaskTimes<RestoreBody>> {
  const path = `/v1/instances/${guid}/backups/${backupId}/restore`;
  return timed<RestoreBody>(site, signal, path, (id) => `/v1/instances/${guid}/restores/${id}`);
}

/** Puts what a restore replaced back, and so removes what was restored. Does nothing where nothing is kept. */
export async function undoRestore(site: Site, guid: string, { id, undo_until }: RestoreBody): Promise<void> {
  if (undo_until !== null) await call(site, 'POST', `/v1/instances/${guid}/restores/${id}/undo`);
}

export async function deleteBackup(site: Site, guid: string, id: number): Promise<void> {
  await call(site, 'DELETE', `/v1/instances/${guid}/backups/${id}`);
}

/** A token that may look at one instance, as its developers have one. */
export async function createToken(site: Site, guid: string): Promise<string> {
  const body = { name: 'bench', instances: [{ instance_id: guid, right: 'view' }] };
  return (await call<{ secret: string }>(site, 'POST', '/v1/tokens', body)).secret;
}

/** Throws with what the API said unless it answered 2xx. */
async function call<T>(site: Site, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(site.url + path, {
    method,
    headers: {
      authorization: `Bearer ${site.adminToken}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
  return JSON.parse(text) as T;
}

async function timed<Body extends Pick<BackupBody, 'status' | 'started_at' | 'finished_at' | 'error'>>(
  site: Site,
  signal: AbortSignal,
  path: string,
  pathOf: (id: number) => string,
): Promise<TaskTimes<Body>> {
  const requestedAt = performance.now();
  const { id } = await call<{ id: number }>(site, 'POST', path);
  for (;;) {
    const body = await call<Body>(site, 'GET', pathOf(id));
    if (body.status === 'done') {
      return {
        requestToDone: (performance.now() - requestedAt) / 1000,
        claimToDone: (Date.parse(body.finished_at) - Date.parse(body.started_at ?? '')) / 1000,
        body,
      };
    }
    if (body.status === 'failed') throw new Error(`the task failed: ${JSON.stringify(body.error)}`);
    await sleep(pauseAfter(performance.now() - requestedAt), undefined, { signal });
  }
}
