import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { type V1Client, v1Client } from '../support/v1-client.ts';
import { command } from './engines/command.ts';
import { files } from './engines/files.ts';
import { mariadb } from './engines/mariadb.ts';
import { rabbitmq } from './engines/rabbitmq.ts';
import { redis } from './engines/redis.ts';
import { sqlite } from './engines/sqlite.ts';

/** What an engine brings for the recovery between two sites; a row each. PostgreSQL has recovery.test.ts. */
interface RecoverableEngine {
  readonly engine: string;
  /** Starts a private server (or what stands for one) with an empty instance. */
  startServer(): Promise<Server>;
}

interface Server {
  /** As the API takes it. */
  readonly connection: object;
  /** Settings that a site needs to be allowed to reach it. Values of the same name are lists. */
  readonly siteSettings?: Readonly<Record<string, string>>;
  fill(): Promise<void>;
  /** So that the data is not what it was. */
  change(): Promise<unknown>;
  /** Equal if and only if the data is. */
  fingerprint(): Promise<unknown>;
  close(): Promise<void>;
}

/** Of each engine; what went wrong with one is for its own test. */
type OfEach<T> = ReadonlyMap<string, Promise<T>>;

const engines: readonly RecoverableEngine[] = [mariadb, redis, rabbitmq, files, sqlite, command];
const key = 'the key that the user of the lost site set';
const stack = new AsyncDisposableStack();
let lost: OfEach<Awaited<ReturnType<typeof backUpTwice>>>;
let destinations: OfEach<Server>;
let client: V1Client;

beforeAll(async () => {
  const folder = stack.use(await temporaryFolder('shared-store-'));
  const store = `file:${path.join(folder.path, 'store')}`;

  const origin = stack.use(new AsyncDisposableStack());
  const servers = await startServers(origin);
  const first = origin.use(await temporaryFolder('first-'));
  const env = await settings(store, servers);
  const site = origin.use(await startSiteProcess({ dataDir: first.path, env }));
  lost = await ofEach(async (engine) => backUpTwice(v1Client(site), engine, await servers.get(engine)!));
  await origin.disposeAsync();

  destinations = await startServers(stack);
  const second = stack.use(await temporaryFolder('second-'));
  const otherEnv = await settings(store, destinations);
  client = v1Client(stack.use(await startSiteProcess({ dataDir: second.path, env: otherEnv })));
}, 300_000);
afterAll(() => stack.disposeAsync());

test.each(engines)(
  'promise 6, $engine: a site performs what a lost one prepared, also of an older backup: a fork',
  { timeout: 300_000 },
  async ({ engine }) => {
    const { backupGuid, older, newest } = await lost.get(engine)!;
    const destination = await destinations.get(engine)!;
    expect(newest.data).not.toEqual(older.data);
    expect(await destination.fingerprint()).not.toEqual(newest.data);
    const target = await register(client, engine, destination.connection);
    for (const { id, data } of [
      { id: backupGuid, data: newest.data },
      { id: older.backupId, data: older.data },
    ]) {
      const answer = await client.call<{ restore_id: number }>(
        'POST',
        `${target}/disaster-recovery/perform`,
        {
          backup_guid: id,
          encryption_key: key,
        },
      );
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 202 });
      const restore = await client.restoreEnds(target, answer.body.restore_id);
      expect(restore, JSON.stringify(restore)).toMatchObject({ status: 'done' });
      expect(await destination.fingerprint()).toEqual(data);
    }
  },
);

/** Prepares an instance with data, backs it up, changes the data and backs it up again. */
async function backUpTwice(at: V1Client, engine: string, server: Server) {
  await server.fill();
  const guid = await register(at, engine, server.connection);
  const prepared = await at.call<{ backup_guid: string }>('POST', `${guid}/disaster-recovery/prepare`, {
    encryption_key: key,
  });
  expect(prepared, JSON.stringify(prepared.body)).toMatchObject({ status: 200 });
  const backUp = async () => {
    const backup = await at.backupEnds(guid, await at.backUp(guid));
    expect(backup, JSON.stringify(backup)).toMatchObject({ status: 'done' });
    return { backupId: backup.backup_id, data: await server.fingerprint() };
  };
  const older = await backUp();
  await server.change();
  return { backupGuid: prepared.body.backup_guid, older, newest: await backUp() };
}

async function startServers(closing: AsyncDisposableStack): Promise<OfEach<Server>> {
  return ofEach(async (_, { startServer }) => {
    const server = await startServer();
    closing.defer(() => server.close());
    return server;
  });
}

/** At once for all engines; resolves when the last has ended, however. */
async function ofEach<T>(step: (name: string, engine: RecoverableEngine) => Promise<T>): Promise<OfEach<T>> {
  const steps = new Map(engines.map((engine) => [engine.engine, step(engine.engine, engine)]));
  await Promise.allSettled(steps.values());
  return steps;
}

/** Of a site that has the store and may reach the servers. */
async function settings(store: string, servers: OfEach<Server>): Promise<Record<string, string>> {
  const env: Record<string, string> = { FORESTAY_STORE: store };
  for (const started of await Promise.allSettled(servers.values())) {
    if (started.status === 'rejected') continue;
    for (const [name, value] of Object.entries(started.value.siteSettings ?? {})) {
      env[name] = env[name] === undefined ? value : `${env[name]}${path.delimiter}${value}`;
    }
  }
  return env;
}

async function register(at: V1Client, engine: string, connection: object): Promise<string> {
  const answer = await at.call<{ instance_id: string }>('POST', '/v1/instances', {
    ...{ name: engine, engine, connection },
  });
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 201 });
  return answer.body.instance_id;
}
