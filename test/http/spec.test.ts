import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { setKey } from '../../src/operations/set-key.ts';
import type { ObjectStore } from '../../src/storage/object-store.ts';
import { backupEnds, restoreEnds } from '../support/test-site.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';
import { isOfType, readSpec, type SpecTable, tablesOfV0, tablesOfV1 } from './spec-tables.ts';

// What the manifests say, and a hundredth of the time: how long a key takes to derive is not what is tried here.
vi.mock('../../src/core/manifest.ts', async (original) => ({
  ...(await original<object>()),
  pbkdf2Rounds: 1000,
}));

/** What the two documents promise, read from the documents themselves and compared with what the server answers. */

const key = 'a key of the user';
let http: HttpSite;
let guid: string;
let instanceId: number;
let backupId: number;
/** Takes the place of the store's answers while set. */
let storeFault: Error | undefined;

function faulty(store: ObjectStore): ObjectStore {
  return new Proxy(store, {
    get(target, property, receiver) {
      const member: unknown = Reflect.get(target, property, receiver);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        if (storeFault) throw storeFault;
        return member.apply(target, args);
      };
    },
  });
}

beforeAll(async () => {
  http = await makeHttpSite({ wrapStore: faulty });
  await http.site.startWorker();
  ({ guid } = await http.site.addInstance());
  await setKey(http.site.context, guid, key);
  backupId = (await requestBackup(http.site.context, guid)).id;
  expect((await backupEnds(http.site.context, backupId)).task.status).toBe('done');
  instanceId = (await call('GET', `/service-instances/${guid}/backups`)).json().id;
});
afterAll(() => http[Symbol.asyncDispose]());

function call(
  method: 'GET' | 'POST',
  url: string,
  payload?: object,
  headers: Record<string, string> = asAdmin,
) {
  return http.server.inject({ method, url, headers, ...(payload && { payload }) });
}

function expectFields(body: Record<string, unknown>, table: SpecTable): void {
  for (const { name, type } of table.rows) {
    expect(body, `the field ${name}`).toHaveProperty(name);
    expect(
      isOfType(body[name], type),
      `${name} is ${JSON.stringify(body[name])}, documented as ${type}`,
    ).toBe(true);
  }
}

describe('the document of V0', () => {
  const tables = tablesOfV0(readSpec('public-api-v0.txt'));
  const statusesOf = (position: number) => tables[position]!.rows.map((row) => Number(row.name));

  test('has the tables that these tests know', () => {
    expect(tables.map((table) => `${table.kind} ${table.rows.map((row) => row.name)}`)).toEqual([
      'status 200',
      'response id,instance_id,backups,restores',
      'response id,instance_id,backup_agent_task',
      'response id,instance_id,backup_agent_tasks',
      'response id,task_id,status,created_at,updated_at',
      'status 201',
      'response id,message',
      'request instance_id,backup_id',
      'status 200,412',
      'response restore_id',
      'response msg',
      'status 200,412',
      'response msg',
    ]);
  });

  test('a restore is asked for and listed as documented', async () => {
    const url = `/service-instances/${guid}/backups/restore`;
    // The table says integers.
    const restored = await call('POST', url, { instance_id: instanceId, backup_id: backupId });
    expect(restored.statusCode).toBe(statusesOf(8)[0]);
    expectFields(restored.json(), tables[9]!);
    await restoreEnds(http.site.context, restored.json().restore_id);

    const listed = await call('GET', `/service-instances/${guid}/backups`);
    expect(listed.statusCode).toBe(statusesOf(0)[0]);
    const body = listed.json();
    expectFields(body, tables[1]!);
    expect(body.instance_id).toBe(guid);
    expectFields(body.backups[0], tables[2]!);
    expect(body.backups[0].instance_id).toBe(instanceId);
    expectFields(body.backups[0].backup_agent_task, tables[4]!);
    expect(body.backups[0].backup_agent_task).toMatchObject({ task_id: backupId, status: 'done' });
    expectFields(body.restores[0], tables[3]!);
    expect(body.restores[0].backup_agent_tasks).toHaveLength(1);
    expectFields(body.restores[0].backup_agent_tasks[0], tables[4]!);
    expect(body.restores[0].backup_agent_tasks[0]).toMatchObject({ task_id: restored.json().restore_id });
  });

  test('a backup is asked for as documented', async () => {
    const other = await http.site.addInstance();
    const answer = await call('POST', `/service-instances/${other.guid}/backups`);
    expect(answer.statusCode).toBe(statusesOf(5)[0]);
    expectFields(answer.json(), tables[6]!);
  });

  test('ids that do not exist or match are answered 412 with a msg', async () => {
    const other = await http.site.addInstance();
    const otherBackup = (await requestBackup(http.site.context, other.guid)).id;
    const url = `/service-instances/${guid}/backups/restore`;
    const wrong: object[] = [
      { instance_id: instanceId + 1, backup_id: backupId },
      { instance_id: 999_999, backup_id: backupId },
      { instance_id: instanceId, backup_id: otherBackup },
      { instance_id: instanceId, backup_id: 999_999 },
      { instance_id: instanceId, backup_id: 'x' },
      { instance_id: instanceId, backup_id: 1.5 },
      { instance_id: instanceId, backup_id: '99999999999999999999' },
      { instance_id: null, backup_id: [] },
      { instance_id: instanceId },
      {},
    ];
    for (const payload of wrong) {
      const answer = await call('POST', url, payload);
      expect([payload, answer.statusCode]).toEqual([payload, statusesOf(8)[1]]);
      expectFields(answer.json(), tables[10]!);
    }
    for (const id of ['999999', 'x', '0', '-1', '99999999999999999999', String(otherBackup)]) {
      for (const method of ['GET', 'POST'] as const) {
        const answer = await call(method, `/service-instances/${guid}/backups/${id}/download`);
        expect([id, answer.statusCode]).toEqual([id, statusesOf(11)[1]]);
        expectFields(answer.json(), tables[12]!);
      }
    }
  });

  test('a backup is downloaded with POST as the table says, and with GET as the call does', async () => {
    for (const method of ['GET', 'POST'] as const) {
      const answer = await call(method, `/service-instances/${guid}/backups/${backupId}/download`);
      expect(answer.statusCode).toBe(statusesOf(11)[0]);
      expect(answer.headers['content-type']).toBe('application/octet-stream');
      expect(answer.headers['content-disposition']).toMatch(/^attachment; filename="[\w.-]+"$/);
      expect(answer.rawPayload.subarray(0, 8).toString()).toBe('Salted__');
    }
  });

  test('a second restore while one is queued is answered 409 with a msg', async () => {
    const url = `/service-instances/${guid}/backups/restore`;
    let goOn = () => {};
    http.site.engine.faults.onStaged = () => new Promise((resolve) => (goOn = resolve));
    const first = await call('POST', url, { instance_id: String(instanceId), backup_id: String(backupId) });
    expect(first.statusCode).toBe(200);
    const second = await call('POST', url, { instance_id: instanceId, backup_id: backupId });
    expect([second.statusCode, Object.keys(second.json())]).toEqual([409, ['msg']]);
    http.site.engine.faults.onStaged = undefined;
    const ended = restoreEnds(http.site.context, first.json().restore_id);
    const ticker = setInterval(() => goOn(), 50);
    await ended.finally(() => clearInterval(ticker));
  });
});

describe('the document of V1 disaster recovery', () => {
  const tables = tablesOfV1(readSpec('public-api-v1-disaster-recovery.txt'));
  const url = (call: string) => `/v1/instances/${guid}/disaster-recovery/${call}`;

  test('has the tables that these tests know', () => {
    const statuses = 'status 200,202,401,403,404,409,500,502,504';
    expect(tables.map((table) => `${table.kind} ${table.rows.map((row) => row.name)}`)).toEqual([
      'request encryption_key',
      'response backup_guid',
      'response error,description',
      statuses,
      'request backup_guid,encryption_key',
      'response restore_id',
      'response error,description',
      statuses,
    ]);
  });

  test.each(['prepare', 'perform'])(
    'the OpenAPI document has every documented field and status of %s',
    async (name) => {
      const document = (await call('GET', '/openapi.json')).json();
      const [request, , , status] = tables.slice(name === 'prepare' ? 0 : 4);
      const operation = document.paths[`/v1/instances/{guid}/disaster-recovery/${name}`].post;
      const body = operation.requestBody.content['application/json'].schema;
      for (const field of request!.rows) {
        expect(body.properties[field.name].type).toBe(field.type);
        expect((body.required ?? []).includes(field.name)).toBe(field.required);
      }
      const success = name === 'prepare' ? '200' : '202';
      // Of the two kinds of success a call has one; clients of the document take both.
      const expected = status!.rows
        .map((row) => row.name)
        .filter((code) => !code.startsWith('2') || code === success);
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(expected));
    },
  );

  test('prepare answers the backup_guid, with a new key and without, again and again', async () => {
    const without = await call('POST', url('prepare'));
    expect(without.statusCode).toBe(200);
    expectFields(without.json(), tables[1]!);
    const config = async () => (await call('GET', `/v1/instances/${guid}/backup-config`)).json();
    const before = await config();
    for (const _ of [1, 2]) {
      const answer = await call('POST', url('prepare'), { encryption_key: key });
      expect([answer.statusCode, answer.json()]).toEqual([200, without.json()]);
    }
    expect(await config()).toEqual(before);
  });

  test('perform answers the restore_id, under which the destination lists the restore', async () => {
    const destination = await http.site.addInstance('to be replaced');
    const { backup_guid } = (await call('POST', url('prepare'))).json();
    const perform = () =>
      call(
        'POST',
        `/v1/instances/${destination.guid}/disaster-recovery/perform`,
        { backup_guid, encryption_key: key },
        { ...asAdmin, 'idempotency-key': 'recover-once' },
      );
    const answer = await perform();
    expect(answer.statusCode).toBe(202);
    // Repeated while the restore is going on, or after: the same restore, not a conflict.
    expect((await perform()).json()).toEqual(answer.json());
    expectFields(answer.json(), tables[5]!);
    const { restore_id: id } = answer.json();
    await restoreEnds(http.site.context, id);
    const [restore] = (await call('GET', `/v1/instances/${destination.guid}/restores`)).json();
    expect(restore).toMatchObject({ id, backup_id: null, status: 'done', error: null, progress: null });
  });

  test('every documented refusal happens in the documented shape', async () => {
    const destination = await http.site.addInstance('to be replaced');
    const target = `/v1/instances/${destination.guid}/disaster-recovery/perform`;
    const { backup_guid } = (await call('POST', url('prepare'))).json();
    const good = { backup_guid, encryption_key: key };
    const unknown = '00000000-0000-4000-8000-000000000000';
    const token = await http.tokenFor('view', destination.guid);

    const seen = new Map<number, string>();
    const see = async (answer: ReturnType<typeof call>) => {
      const { statusCode, json } = await answer;
      expectFields(json(), tables[6]!);
      expect(json().error).toMatch(/^([A-Z][a-z0-9]*)+$/);
      seen.set(statusCode, json().error);
    };
    await see(call('POST', target, good, {}));
    await see(call('POST', target, good, token));
    await see(call('POST', target, { ...good, backup_guid: unknown }));
    storeFault = new ForestayError('StoreUnavailable', 'The store does not answer.');
    await see(call('POST', target, good));
    storeFault = new ForestayError('StoreTimeout', 'The store is slow.');
    await see(call('POST', target, good));
    storeFault = new Error('a bug');
    await see(call('POST', target, good));
    storeFault = undefined;
    http.site.engine.faults.onStaged = async (_ticket, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    };
    const restoreId = (await call('POST', target, good)).json().restore_id;
    await see(call('POST', target, good));
    await call('POST', `/v1/instances/${destination.guid}/restores/${restoreId}/cancel`);
    await restoreEnds(http.site.context, restoreId);
    http.site.engine.faults.onStaged = undefined;

    const documented = tables[7]!.rows.map((row) => Number(row.name)).filter((status) => status >= 400);
    expect([...seen.keys()].sort()).toEqual(documented);
    expect(Object.fromEntries(seen)).toEqual({
      401: 'Unauthorized',
      403: 'Forbidden',
      404: 'BackupNotFound',
      409: 'RestoreInProgress',
      500: 'Internal',
      502: 'StoreUnavailable',
      504: 'StoreTimeout',
    });
  });

  test('wrong bodies are answered 400, naming the field', async () => {
    const answers: [object | string, string][] = [
      ['{"encryption_key":', 'not valid JSON'],
      ['[]', 'must be a JSON object'],
      ['null', 'must be a JSON object'],
      [{}, 'backup_guid'],
      [{ backup_guid: 'x' }, 'encryption_key'],
      [{ backup_guid: 3, encryption_key: key }, 'backup_guid'],
      [{ backup_guid: 'not a guid', encryption_key: key }, 'backup_guid'],
    ];
    for (const [payload, words] of answers) {
      const answer = await http.server.inject({
        method: 'POST',
        url: url('perform'),
        headers: { ...asAdmin, 'content-type': 'application/json' },
        payload,
      });
      expect([payload, answer.statusCode]).toEqual([payload, 400]);
      expect(answer.json()).toMatchObject({
        error: 'BadRequest',
        description: expect.stringContaining(words),
      });
    }
    const short = await call('POST', url('prepare'), { encryption_key: 'short' });
    expect([short.statusCode, short.json().description]).toEqual([
      400,
      expect.stringContaining('at least 8'),
    ]);
  });

  test('a wrong key is answered 403, and the sixth within a minute 429', async () => {
    const destination = await http.site.addInstance('to stay');
    const target = `/v1/instances/${destination.guid}/disaster-recovery/perform`;
    const { backup_guid } = (await call('POST', url('prepare'))).json();
    const statuses = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(async (number) => {
        const answer = await call('POST', target, { backup_guid, encryption_key: `guess number ${number}` });
        return `${answer.statusCode} ${answer.json().error} ${answer.headers['retry-after'] === undefined}`;
      }),
    );
    expect(statuses.sort()).toEqual([
      ...Array(5).fill('403 EncryptionKeyMismatch true'),
      '429 TooManyRequests false',
    ]);
  });
});

test('lists of V1 have the documented fields and types, newest first', async () => {
  const backups = (await call('GET', `/v1/instances/${guid}/backups`)).json();
  const types = {
    ...{ id: 'integer', backup_id: 'string', size: 'integer', status: 'string', triggered_at: 'datetime' },
    ...{ started_at: 'datetime', finished_at: 'datetime' },
  };
  for (const [field, type] of Object.entries(types))
    expect([field, isOfType(backups[0][field], type)]).toEqual([field, true]);
  expect(backups.at(-1)).toMatchObject({ id: backupId, downloadable: true, key_version: 2, error: null });
  expect(backups.map((backup: { id: number }) => backup.id)).toEqual(
    backups.map((backup: { id: number }) => backup.id).toSorted((a: number, b: number) => b - a),
  );
  expect((await call('GET', `/v1/instances/${guid}/backups/${backupId}`)).json()).toEqual(backups.at(-1));

  const restores = (await call('GET', `/v1/instances/${guid}/restores`)).json();
  expect(restores.at(-1)).toMatchObject({
    backup_id: backupId,
    status: 'done',
    method: 'staged',
    metadata: { restored_from: expect.stringMatching(/Z$/) },
  });
  const overview = (await call('GET', `/v1/instances/${guid}`)).json();
  expect(overview).toMatchObject({
    id: instanceId,
    state: 'provisioned',
    service_id: 'fake',
    instance_id: guid,
  });
});
