import { createHash, randomBytes } from 'node:crypto';
import type { Connection } from '../../../src/core/instance.ts';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { markerKey } from '../../../src/engines/redis/marker.ts';
import type { Reply } from '../../../src/engines/redis/resp.ts';
import { type FullInstance, type InstanceFixture, takeBackup } from '../../contract/engine-contract.ts';
import { keepDoing } from '../../support/keep-doing.ts';
import type { RedisServer } from '../../support/redis-server.ts';
import { fillHostile } from './hostile.ts';

export interface RedisInstance extends InstanceFixture {
  readonly server: RedisServer;
  fingerprint(): Promise<Record<string, string>>;
}

const engine = createRedisEngine();

/** A server as an instance: empty at first, and empty again when it is closed. `user`: who the engine logs in as. */
export async function makeRedisInstance(
  server: RedisServer,
  user?: { readonly username: string; readonly password: string },
): Promise<RedisInstance> {
  const given = server.connection(user);
  const parse = (changes: object) => engine.parseConnection({ ...given, ...changes });
  const connection: Connection = parse({});
  return {
    server,
    connection,
    wrong: { connection: parse({ password: 'wr0ng-s3cret' }), secret: 'wr0ng-s3cret' },
    unreachable: parse({ port: 1 }),
    fill: (kind) => (kind === 'bulk' ? fillBulk(server) : fillHostile(server)),
    // Values of every way of a restore: in one piece, and one that is larger than that.
    grow: async (megabytes) => {
      for (let at = 0; at < megabytes - 20; at++)
        await server.run('SET', `big:${at}`, randomBytes(1_000_000));
      await server.run('SET', 'huge', randomBytes(20_000_000));
    },
    fingerprint: () => redisFingerprint(server),
    write: async () => {
      await server.run('RPUSH', 'written', String(performance.now()));
      await server.runIn(5, 'SET', 'written', String(performance.now()));
    },
    startWriting: () => startWriting(server),
    isConsistent: async () => {
      const [a, b] = (await server.run('MGET', 'balance:a', 'balance:b')) as Reply[];
      return Number(String(a)) + Number(String(b)) === 1000;
    },
    killSource: async () => {
      if ((await server.run('CLIENT', 'KILL', 'TYPE', 'replica')) === 0)
        throw new Error('The backup has no session any more');
    },
    remains: () => remains(server),
    close: async () => {
      await server.run('FLUSHALL');
      await server.run('FUNCTION', 'FLUSH');
    },
  };
}

/** With a limit of memory that leaves room for a third of its data. */
export async function fullRedis(
  server: RedisServer,
  user?: { readonly username: string; readonly password: string },
): Promise<FullInstance> {
  const instance = await makeRedisInstance(server, user);
  await instance.fill('bulk');
  const backup = await takeBackup(engine, instance.connection);
  const used = Number(/used_memory:(\d+)/.exec(String(await server.run('INFO', 'memory')))?.[1]);
  await server.run('CONFIG', 'SET', 'maxmemory', used + 2_000_000);
  return {
    engine,
    instance,
    backup,
    [Symbol.asyncDispose]: async () => {
      await server.run('CONFIG', 'SET', 'maxmemory', 0);
    },
  };
}

/** Databases that are of the instance, not of a restore. */
export async function ownDatabases(server: RedisServer): Promise<number[]> {
  const found = [...String(await server.run('INFO', 'keyspace')).matchAll(/^db(\d+):/gm)].map(([, db]) =>
    Number(db),
  );
  const own: number[] = [];
  for (const db of found) if ((await server.runIn(db, 'EXISTS', markerKey)) === 0) own.push(db);
  return own;
}

/** Each database as the server's own digest of every key, with the times at which keys expire, and what streams say of themselves. */
export async function redisFingerprint(
  server: RedisServer,
  { seenTimes = true } = {},
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const db of await ownDatabases(server)) {
    const keys = await allKeys(server, db);
    const lines: string[] = [];
    for (let at = 0; at < keys.length; at += 1000) {
      const some = keys.slice(at, at + 1000);
      const digests = (await server.runIn(db, 'DEBUG', 'DIGEST-VALUE', ...some)) as Reply[];
      const more = await Promise.all(some.map((key) => moreOf(server, db, key, seenTimes)));
      for (const [index, key] of some.entries())
        lines.push(`${key.toString('hex')} ${String(digests[index])} ${more[index]}`);
    }
    const digest = createHash('sha256').update(lines.sort().join('\n')).digest('hex');
    found[`database ${db}`] = `${keys.length} keys ${digest}`;
  }
  // In no particular order.
  const functions = (await server.run('FUNCTION', 'LIST', 'WITHCODE')) as Reply[];
  found.functions = functions
    .map((each) => JSON.stringify(without(each, [])))
    .sort()
    .join('\n');
  return found;
}

async function moreOf(server: RedisServer, db: number, key: Buffer, seenTimes: boolean): Promise<string> {
  const expires = await server.runIn(db, 'PEXPIRETIME', key);
  if (String(await server.runIn(db, 'TYPE', key)) !== 'stream') return String(expires);
  const left = seenTimes ? notData : [...notData, 'seen-time'];
  const all = await server.runIn(db, 'XINFO', 'STREAM', key, 'FULL', 'COUNT', 0);
  return `${expires} ${JSON.stringify(without(all, left))}`;
}

/** How a stream lies in memory is nothing of its data. */
const notData = ['radix-tree-keys', 'radix-tree-nodes'];

/** Names and values take turns in a reply; those of some names are left out. */
function without(reply: Reply, names: readonly string[]): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (!Array.isArray(reply)) return reply;
  const items = reply as readonly Reply[];
  return items.flatMap((item, at) => {
    const isName = Buffer.isBuffer(item) && names.includes(item.toString());
    const before = items[at - 1];
    const follows = Buffer.isBuffer(before) && names.includes(before.toString());
    return isName || follows ? [] : [without(item, names)];
  });
}

async function allKeys(server: RedisServer, db: number): Promise<Buffer[]> {
  const keys = new Map<string, Buffer>();
  let cursor = '0';
  do {
    const [next, found] = (await server.runIn(db, 'SCAN', cursor, 'COUNT', 1000)) as [Buffer, Buffer[]];
    for (const key of found) keys.set(key.toString('hex'), key);
    cursor = String(next);
  } while (cursor !== '0');
  return [...keys.values()];
}

/** 6 MB that compress badly, in database 0, and a little in another one. */
async function fillBulk(server: RedisServer): Promise<void> {
  const bytes = createHash('shake256', { outputLength: 6_000_000 }).update('bulk').digest();
  for (let at = 0; at < bytes.length; at += 3000)
    await server.run('SET', `bulk:${at}`, bytes.subarray(at, at + 3000));
  await server.runIn(2, 'HSET', 'more', 'a', '1', 'b', '2');
}

async function startWriting(server: RedisServer): Promise<{ stop(): Promise<void> }> {
  await fillBulk(server);
  await server.run('MSET', 'balance:a', '1000', 'balance:b', '0');
  return keepDoing(() =>
    Promise.all([
      server.run('MULTI'),
      server.run('DECR', 'balance:a'),
      server.run('INCR', 'balance:b'),
      server.run('EXEC'),
    ]),
  );
}

async function remains(server: RedisServer): Promise<string[]> {
  const clients = String(await server.run('CLIENT', 'LIST')).split('\n');
  const found = clients.flatMap((line) => (/ name=(forestay\S*)/.exec(line)?.[1] ?? []) as string[]);
  const databases = [...String(await server.run('INFO', 'keyspace')).matchAll(/^db(\d+):/gm)].map(([, db]) =>
    Number(db),
  );
  const staged: string[] = [];
  for (const db of databases) {
    const marker = await server.runIn(db, 'GET', markerKey);
    const { state } = JSON.parse(marker === null ? '{}' : String(marker)) as { state?: string };
    if (state !== undefined && state !== 'kept') staged.push(`database ${db}, ${state}`);
  }
  return [...found.map((name) => `session ${name}`), ...staged];
}
