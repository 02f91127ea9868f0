import { Check } from 'typebox/schema';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ForestayError } from '../../src/core/errors.ts';
import type { Engine, RestorePlan } from '../../src/engines/engine.ts';
import { requestBackup } from '../../src/operations/request-backup.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { backupEnds } from '../support/test-site.ts';
import { asAdmin, type HttpSite, makeHttpSite } from './site.ts';

/** An engine that can tell: its plan says what bytes it was shown. */
const planning: Engine = {
  ...createFakeEngine('planning'),
  async planRestore(_connection, bytes, source): Promise<RestorePlan> {
    const read = (await bytes.toArray()).join('');
    if (read.includes('newer')) throw new ForestayError('IncompatibleBackup', 'of a newer one');
    return {
      added: [{ kind: 'text', name: read, within: null }],
      changed: [{ kind: 'version', name: source.engineVersion, within: 'all', differs: ['number'] }],
      removed: [],
      notKept: ['nothing'],
    };
  },
};

let http: HttpSite;
let schema: object;
beforeAll(async () => {
  http = await makeHttpSite({ engines: [planning] });
  await http.site.startWorker();
  const document = (await http.server.inject({ url: '/openapi.json' })).json();
  schema = document.components.schemas.RestorePlan;
});
afterAll(() => http[Symbol.asyncDispose]());

async function planOf(content: string, engine = 'planning') {
  const { file, guid: other } = await http.site.addInstance(content);
  const registered = await http.server.inject({
    method: 'POST',
    url: '/v1/instances',
    headers: asAdmin,
    payload: { name: content, engine, connection: { file } },
  });
  const guid: string = engine === 'planning' ? registered.json().instance_id : other;
  const { id } = await requestBackup(http.site.context, guid);
  expect((await backupEnds(http.site.context, id)).task.status).toBe('done');
  return http.server.inject({
    url: `/v1/instances/${guid}/backups/${id}/restore-plan`,
    headers: asAdmin,
  });
}

test('a plan says what a restore would do, from the bytes of the backup', async () => {
  const answer = await planOf('the data of monday');
  expect(answer.statusCode).toBe(200);
  expect(answer.json()).toEqual({
    added: [{ kind: 'text', name: 'the data of monday', within: null }],
    changed: [{ kind: 'version', name: '1.0', within: 'all', differs: ['number'] }],
    removed: [],
    not_kept: ['nothing'],
  });
  expect(Check(schema, answer.json())).toBe(true);
});

test('what cannot be planned is answered 422, with the reason', async () => {
  const incompatible = await planOf('newer');
  expect([incompatible.statusCode, incompatible.json().error]).toEqual([422, 'IncompatibleBackup']);
  const unable = await planOf('whatever', 'fake');
  expect([unable.statusCode, unable.json().error]).toEqual([422, 'PlanUnavailable']);
});

test('there is no plan of a backup that is not there', async () => {
  const { guid } = await http.site.addInstance();
  for (const id of ['999', 'x', '0']) {
    const answer = await http.server.inject({
      url: `/v1/instances/${guid}/backups/${id}/restore-plan`,
      headers: asAdmin,
    });
    expect([id, answer.statusCode, answer.json().error]).toEqual([id, 404, 'BackupNotFound']);
  }
});

test('the engines say whether they can', async () => {
  const engines: { name: string; restore_plan: boolean }[] = (
    await http.server.inject({ url: '/v1/engines', headers: asAdmin })
  ).json();
  expect(engines.map(({ name, restore_plan: can }) => [name, can])).toEqual([
    ['fake', false],
    ['planning', true],
  ]);
});
