import { rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { startSiteProcess, temporaryFolder } from '../support/site-process.ts';
import { v1Client } from '../support/v1-client.ts';
import { mariadb } from './engines/mariadb.ts';
import { rabbitmq } from './engines/rabbitmq.ts';
import { redis } from './engines/redis.ts';

/** What an engine brings for the recovery between two sites; a row each. */
interface RecoverableEngine {
  readonly engine: string;
  /** Starts a private server with an empty instance. */
  startServer(): Promise<{
    /** As the API takes it. */
    readonly connection: object;
    fill(): Promise<void>;
    /** Equal if and only if the data is. */
    fingerprint(): Promise<unknown>;
    close(): Promise<void>;
  }>;
}

const engines: readonly RecoverableEngine[] = [mariadb, redis, rabbitmq];
const key = 'the key that the user of the lost site set';

describe.each(engines)('promise 6, $engine: the store is enough', ({ engine, startServer }) => {
  test('prepare at one site, perform at another when the first is gone, also of one backup: a fork', {
    timeout: 300_000,
  }, async () => {
    await using stack = new AsyncDisposableStack();
    const store = stack.use(await temporaryFolder('shared-store-'));
    const env = { FORESTAY_STORE: `file:${path.join(store.path, 'store')}` };
    const [first, second] = [
      stack.use(await temporaryFolder('first-')),
      stack.use(await temporaryFolder('second-')),
    ];

    const origin = await startServer();
    stack.defer(() => origin.close());
    await origin.fill();
    const site = stack.use(await startSiteProcess({ dataDir: first.path, env }));
    const client = v1Client(site);
    const guid = await register(client, engine, origin.connection);
    const prepared = await client.call<{ backup_guid: string }>('POST', `${guid}/disaster-recovery/prepare`, {
      encryption_key: key,
    });
    const backup = await client.backupEnds(guid, await client.backUp(guid));
    expect(backup, JSON.stringify(backup)).toMatchObject({ status: 'done' });
    const lost = await origin.fingerprint();
    await site.kill();
    await rm(first.path, { recursive: true });
    await origin.close();

    const destination = await startServer();
    stack.defer(() => destination.close());
    expect(await destination.fingerprint()).not.toEqual(lost);
    const otherSite = stack.use(await startSiteProcess({ dataDir: second.path, env }));
    const other = v1Client(otherSite);
    const target = await register(other, engine, destination.connection);
    for (const id of [prepared.body.backup_guid, backup.backup_id]) {
      const answer = await other.call<{ restore_id: number }>('POST', `${target}/disaster-recovery/perform`, {
        backup_guid: id,
        encryption_key: key,
      });
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 202 });
      const restore = await other.restoreEnds(target, answer.body.restore_id);
      expect(restore, JSON.stringify(restore)).toMatchObject({ status: 'done' });
      expect(await destination.fingerprint()).toEqual(lost);
    }
    await otherSite.stop();
  });
});

async function register(
  client: ReturnType<typeof v1Client>,
  engine: string,
  connection: object,
): Promise<string> {
  const answer = await client.call<{ instance_id: string }>('POST', '/v1/instances', {
    ...{ name: engine, engine, connection },
  });
  expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: 201 });
  return answer.body.instance_id;
}
