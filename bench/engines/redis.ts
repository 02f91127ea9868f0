import { createHash } from 'node:crypto';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RedisServer, startRedisServer } from '../../test/support/redis-server.ts';
import type { Bench } from '../bench.ts';
import type { EngineRival, RivalServer } from './rival.ts';

/**
 * Redis against its own tools. A restore of ours goes into a server that runs, and so does this rival: commands as the server
 * itself rewrites its log, fed by `redis-cli --pipe`. (Starting a server on an RDB is quicker than both; it means to stop
 * the one that runs.)
 */
export const redisRival: EngineRival = {
  engine: 'redis',
  rivals: { backup: 'redis-cli --rdb - > /dev/null', restore: 'redis-cli --pipe of a rewritten log' },
  targets: { backup: 1.25, restore: 1.25 },
  start,
};

async function start({ signal }: Pick<Bench, 'signal'>): Promise<RivalServer> {
  await using starting = new AsyncDisposableStack();
  const [server, empty] = await Promise.all([startRedisServer(), startRedisServer()]);
  starting.defer(() => server.stop());
  starting.defer(() => empty.stop());
  const running = starting.move();
  return {
    connection: server.connection(),
    fill: (bytes) => fill(server, bytes, signal),
    async settle() {
      await empty.run('FLUSHALL');
    },
    tool: {
      env: { FULL_PASSWORD: server.password, EMPTY_PASSWORD: empty.password },
      // To /dev/null by that name it fails at the end: that cannot be truncated.
      dump: `REDISCLI_AUTH="$FULL_PASSWORD" redis-cli -h ${server.host} -p ${server.port} --rdb -`,
      load: `REDISCLI_AUTH="$EMPTY_PASSWORD" redis-cli -h ${empty.host} -p ${empty.port} --pipe`,
    },
    save: (file, stop) => saveCommands(server, file, stop),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The server's log right after it was rewritten: nothing but the commands that make its data. */
async function saveCommands(server: RedisServer, file: string, signal: AbortSignal): Promise<void> {
  await server.run('CONFIG', 'SET', 'aof-use-rdb-preamble', 'no');
  await server.run('CONFIG', 'SET', 'appendonly', 'yes');
  try {
    while (
      !/aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(
        String(await server.run('INFO', 'persistence')),
      )
    )
      await sleep(50, undefined, { signal });
    const folder = join(server.folder, 'appendonlydir');
    const base = (await readdir(folder)).find((name) => name.endsWith('.base.aof'));
    if (base === undefined) throw new Error('The server has not written its log.');
    await copyFile(join(folder, base), file);
  } finally {
    await server.run('CONFIG', 'SET', 'appendonly', 'no');
  }
}

const valueBytes = 1000;

/** Strings of a kilobyte and hashes, half of it bytes that nothing makes smaller, half text. */
async function fill(server: RedisServer, bytes: number, signal: AbortSignal): Promise<void> {
  const random = createHash('shake256', { outputLength: 4_000_000 }).update('bench').digest();
  const text = Buffer.from(
    '{"customer":4711,"status":"paid","note":"leave it with the neighbours"},'.repeat(20),
  );
  const batch = 1000;
  for (let at = 0, key = 0; at < bytes; key += batch) {
    signal.throwIfAborted();
    const sent: Promise<unknown>[] = [];
    for (let index = key; index < key + batch; index++, at += valueBytes) {
      const from = (index * 997) % (random.length - valueBytes);
      const value =
        index % 2 === 0
          ? random.subarray(from, from + valueBytes)
          : text.subarray(index % 71, (index % 71) + valueBytes);
      sent.push(
        index % 10 === 9
          ? server.run('HSET', `hash:${index}`, 'a', value.subarray(0, 500), 'b', value.subarray(500))
          : server.run('SET', `string:${index}`, value),
      );
    }
    await Promise.all(sent);
  }
}
