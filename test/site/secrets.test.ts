import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, test } from 'vitest';
import { holdLock, lockSampleTable } from '../support/hold-lock.ts';
import { runSql } from '../support/postgres-client.ts';
import { listProcesses } from '../support/processes.ts';
import { makeSampleDatabase } from '../support/sample-database.ts';
import { startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { until } from '../support/test-site.ts';
import { v1Client } from '../support/v1-client.ts';

const marker = (what: string) => `S3cr3t-${what}-${randomBytes(12).toString('hex')}`;

/** Looks at all processes of the machine again and again; resolves with what was seen of the secrets. */
function watchProcesses(secrets: () => Record<string, string>, sitePid: number) {
  const seen = new Set<string>();
  let looks = 0;
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      const processes = await listProcesses();
      const ofSite = processes.find(({ pid }) => pid === sitePid)?.command;
      for (const { parent, command, environment } of processes) {
        // A child that has not become its program yet is still a copy of the site.
        const isProgram = parent === sitePid && command !== ofSite && command !== '';
        for (const [name, secret] of Object.entries(secrets())) {
          if (command.includes(secret)) seen.add(`${name} in the arguments of ${command.slice(0, 60)}`);
          // Programs get the password of their instance by environment, which only their user can read, and nothing else.
          if (isProgram && !name.startsWith('password') && environment.includes(secret))
            seen.add(`${name} in the environment of ${command.slice(0, 60)}`);
        }
      }
      looks += 1;
      await sleep(5);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await watching;
      expect(looks).toBeGreaterThan(20);
      return [...seen];
    },
  };
}

test('promise 8: no secret is in a log line, an argument, an answer or a file, whatever goes wrong', {
  timeout: 120_000,
}, async () => {
  const masterKey = randomBytes(32);
  const secrets: Record<string, string> = {
    password: marker('password'),
    'password that is wrong': marker('wrong-password'),
    'first key': marker('first-key'),
    'second key': marker('second-key'),
    'key that opens nothing': marker('foreign-key'),
    'admin token': marker('admin-token'),
    'master key': masterKey.toString('base64'),
  };
  await using folder = await temporaryFolder('secrets-');
  await using database = await makeSampleDatabase(inject('postgresUrl'), {
    megabytes: 5,
    password: secrets.password!,
  });
  const env = {
    FORESTAY_ADMIN_TOKEN: secrets['admin token']!,
    FORESTAY_MASTER_KEY: secrets['master key']!,
    FORESTAY_LOG_LEVEL: 'debug',
  };
  await using site = await startSiteProcess({ dataDir: folder.path, env });
  const watch = watchProcesses(() => secrets, site.pid);
  const plain = v1Client(site);
  const answers: string[] = [];
  const call: typeof plain.call = async (...request) => {
    const answer = await plain.call(...request);
    answers.push(`${JSON.stringify([...answer.headers])} ${JSON.stringify(answer.body)}`);
    return answer as never;
  };
  const statusOf = async (...request: Parameters<typeof call>) => (await call(...request)).status;
  const register = (connection: object) =>
    call<{ instance_id: string }>('POST', '/v1/instances', { name: 'i', engine: 'postgresql', connection });

  // What works.
  const { connection } = database;
  const guid = (await register(connection)).body.instance_id;
  const token = await plain.call<{ secret: string }>('POST', '/v1/tokens', { name: 't', operator: true });
  secrets['created token'] = token.body.secret;
  expect(await statusOf('PATCH', `${guid}/backup-config`, { encryption_key: secrets['first key'] })).toBe(
    200,
  );
  const backup = await plain.backupEnds(guid, await plain.backUp(guid));
  expect(backup.status).toBe('done');
  const prepare = `${guid}/disaster-recovery/prepare`;
  const { body } = await call<{ backup_guid: string }>('POST', prepare, {
    encryption_key: secrets['second key'],
  });
  const second = await plain.backupEnds(guid, await plain.backUp(guid));
  expect(second.status).toBe('done');
  const asCreated = { authorization: `Bearer ${secrets['created token']}` };
  const session = await fetch(`${site.url}/service-instances/${guid}`, { headers: asCreated });
  secrets['session cookie'] = /^[^=]+=([^;]+)/.exec(session.headers.getSetCookie()[0] ?? '')?.[1] ?? 'none';
  expect(secrets['session cookie'].length).toBeGreaterThan(20);
  const restored = await plain.restoreEnds(guid, await plain.restore(guid, backup.id));
  expect(restored.status).toBe('done');
  const perform = `${guid}/disaster-recovery/perform`;
  const recovery = { backup_guid: body.backup_guid, encryption_key: secrets['second key'] };
  const performed = await call<{ restore_id: number }>('POST', perform, recovery);
  expect((await plain.restoreEnds(guid, performed.body.restore_id)).status).toBe('done');
  const download = await fetch(`${site.url}/v1/instances/${guid}/backups/${second.id}/download`, {
    headers: asCreated,
  });
  answers.push(
    JSON.stringify([...download.headers]),
    Buffer.from(await download.arrayBuffer()).toString('latin1'),
  );

  // What does not.
  const wrong = secrets['password that is wrong']!;
  expect((await register({ ...connection, password: wrong })).status).toBe(422);
  expect((await register({ ...connection, password: wrong, port: 1 })).status).toBe(422);
  expect((await register({ ...connection, password: wrong, host: 'no.such.host.invalid' })).status).toBe(422);
  expect((await register({ ...connection, password: [wrong] })).status).toBe(400);
  const { host, port } = connection;
  for (const url of [
    `postgres://u:${wrong}@${host}:${port}/d?strange=1`,
    `postgres://u:${wrong}@${host}:port/d`,
    `postgres://u:${wrong}@${host}:${port}/d?password=${wrong}`,
    `mysql://u:${wrong}@${host}/d`,
  ])
    expect((await register({ url })).status).toBe(400);
  const config = `${guid}/backup-config`;
  expect(await statusOf('PATCH', config, { encryption_key: [secrets['first key']] })).toBe(400);
  const key = secrets['key that opens nothing']!;
  expect(await statusOf('POST', perform, { ...recovery, encryption_key: key })).toBe(403);
  expect(await statusOf('POST', perform, { backup_guid: key, encryption_key: key })).toBe(400);
  const headers = { authorization: `Bearer ${site.token}`, 'content-type': 'application/json' };
  const malformed = await fetch(`${site.url}/v1/instances/${perform}`, {
    method: 'POST',
    headers,
    body: `{"backup_guid": "x", "encryption_key": "${key}`,
  });
  answers.push(await malformed.text());
  expect(malformed.status).toBe(400);
  expect(await statusOf('GET', `${guid}?token=${secrets['created token']}`)).toBe(200);
  expect(await statusOf('GET', '/v1/instances', undefined, { authorization: `Bearer ${key}` })).toBe(401);

  // A dump that fails half-way, and one that may not begin.
  {
    await using _held = await holdLock(database.url, lockSampleTable);
    const id = await plain.backUp(guid);
    const dumping = `application_name LIKE 'forestay-dump-%' AND wait_event_type = 'Lock'`;
    await until('a dump to end', async () => {
      const ended = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${dumping} AND datname = '${database.name}'`;
      return (await runSql(inject('postgresUrl'), ended)).length > 0;
    });
    await until('its error', async () => (await plain.backups(guid)).find((each) => each.id === id)?.error);
    await call('POST', `${guid}/backups/${id}/cancel`);
  }
  await runSql(inject('postgresUrl'), `ALTER ROLE ${database.role} PASSWORD 'another one'`);
  const refused = await plain.backupEnds(guid, await plain.backUp(guid));
  expect(refused).toMatchObject({ status: 'failed', error: { code: 'InstanceRefused' } });

  for (const url of ['', '/backups', '/restores', '/backup-config', `/backups/${backup.id}`, '/restores/1'])
    await call('GET', `${guid}${url}`);
  for (const url of ['/v1/tokens', '/v1/instances', '/v1/engines', '/openapi.json', '/healthz'])
    await call('GET', url);

  expect(await watch.stop()).toEqual([]);
  expect((await site.stop()).code).toBe(0);
  for (const [name, secret] of Object.entries(secrets)) {
    expect(site.output().includes(secret), `${name} in the log`).toBe(false);
    expect(
      answers.some((answer) => answer.includes(secret)),
      `${name} in an answer`,
    ).toBe(false);
  }
  expect(await filesWith({ ...secrets }, masterKey, folder.path)).toEqual([]);
});

/** Files below a folder that hold a secret as it is, or the master key as bytes. */
async function filesWith(
  secrets: Record<string, string>,
  masterKey: Buffer,
  folder: string,
): Promise<string[]> {
  const needles = [
    ...Object.entries(secrets).map(([name, secret]) => [name, Buffer.from(secret)] as const),
    ['bytes of the master key', masterKey] as const,
  ];
  const found: string[] = [];
  let files = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    files += 1;
    const name = path.join(entry.parentPath, entry.name);
    const bytes = await readFile(name);
    for (const [secret, needle] of needles) if (bytes.includes(needle)) found.push(`${secret} in ${name}`);
  }
  // The database and the store have been looked at.
  expect(files).toBeGreaterThan(100);
  return found;
}
