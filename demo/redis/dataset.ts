import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { restoreRights } from '../../test/engines/redis/rights.ts';
import { hasRedis, type RedisServer, startRedisServer } from '../../test/support/redis-server.ts';
import type { Check, Dataset, DemoServer, Fingerprint } from '../dataset.ts';
import { DemoFailed } from '../demo-failed.ts';
import { count } from '../narrate.ts';
import { prepareMachine } from '../prepare-machine.ts';
import { databases, fill } from './fill.ts';

const requirement = { what: 'Redis server and client', packages: ['redis-server'], isMet: hasRedis };

/** The story with a shop's Redis: private servers of what the machine has. */
export function createRedisDataset(): Dataset {
  return {
    engine: 'redis',
    prepareMachine: () => prepareMachine([requirement]),
    startServer,
  };
}

async function startServer(): Promise<DemoServer> {
  const user = { username: 'forestay', password: randomBytes(18).toString('base64url') };
  const server = await startRedisServer({
    users: [`user ${user.username} on >${user.password} ${restoreRights}`],
  });
  const info = async (section: string, name: string) =>
    new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(String(await server.run('INFO', section)))?.[1] ?? '';
  return {
    title: `Redis ${await info('server', 'redis_version')}`,
    connection: server.connection(user),
    fill: (size, onStep, signal) => fill(server, size, onStep, signal),
    size: async () => Number(await info('memory', 'used_memory_dataset')),
    // An RDB is denser than memory, and compresses what it can.
    expectedBackupBytes: async () => Number(await info('memory', 'used_memory_dataset')) * 0.5,
    fingerprint: () => fingerprint(server),
    destroySomeData: () => destroySomeData(server),
    checkOpened,
    destroy: () => server.stop(),
  };
}

/** The server's own digest of every key, with its expiry, gathered by the word before the colon; and the functions. */
async function fingerprint(server: RedisServer): Promise<Fingerprint> {
  const facts = new Map<string, string>();
  let keys = 0;
  for (const db of databases) {
    const groups = new Map<string, string[]>();
    let cursor = '0';
    do {
      const [next, found] = (await server.runIn(db, 'SCAN', cursor, 'COUNT', 2000)) as [Buffer, Buffer[]];
      cursor = String(next);
      if (found.length === 0) continue;
      const digests = (await server.runIn(db, 'DEBUG', 'DIGEST-VALUE', ...found)) as Buffer[];
      const expiries = await Promise.all(found.map((key) => server.runIn(db, 'PEXPIRETIME', key)));
      for (const [at, key] of found.entries()) {
        const name = `database ${db}, ${String(key).split(':')[0]}`;
        const group = groups.get(name) ?? [];
        groups.set(name, group);
        group.push(`${key} ${digests[at]} ${expiries[at]}`);
      }
    } while (cursor !== '0');
    for (const [name, lines] of groups) {
      const each = [...new Set(lines)].sort();
      keys += each.length;
      facts.set(name, `${each.length} keys, ${createHash('sha256').update(each.join('\n')).digest('hex')}`);
    }
  }
  const functions = (await server.run('FUNCTION', 'LIST', 'WITHCODE')) as readonly unknown[];
  facts.set('functions', createHash('sha256').update(JSON.stringify(functions)).digest('hex'));
  const groups = facts.size - 1;
  return {
    facts,
    summary: `${count(keys)} keys of ${groups} kinds in ${databases.length} databases, ${functions.length} library of functions`,
  };
}

async function destroySomeData(server: RedisServer): Promise<string[]> {
  await server.runIn(1, 'FLUSHDB');
  const carts = (await server.run('KEYS', 'cart:*')) as Buffer[];
  await server.run('DEL', ...carts);
  await server.run('XTRIM', 'orders:stream', 'MAXLEN', 10);
  await server.run('FUNCTION', 'FLUSH');
  await server.run('ZADD', 'ranking:products', 'XX', 'INCR', '1000000', 'product:1');
  return [
    'FLUSHDB in the wrong database: all sessions are gone.',
    `DEL of what KEYS cart:* found: ${count(carts.length)} shopping carts are gone.`,
    'XTRIM orders:stream MAXLEN 10: what had not been worked on yet is lost.',
    'FUNCTION FLUSH: the library that applications call is gone.',
  ];
}

async function checkOpened(file: string, signal: AbortSignal): Promise<Check> {
  const { stdout } = await promisify(execFile)('redis-check-rdb', [file], { signal });
  const keys = /\[info\] (\d+) keys read/.exec(stdout)?.[1];
  if (!stdout.includes('RDB looks OK!') || keys === undefined)
    throw new DemoFailed('redis-check-rdb does not like the opened download.');
  return {
    command: 'redis-check-rdb backup',
    result: `redis-check-rdb reads it: checksum OK, ${count(Number(keys))} keys`,
  };
}
