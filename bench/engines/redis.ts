import { createHash } from 'node:crypto';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type RedisServer, startRedisServer } from '../../test/support/redis-server.ts';
import type { Bench } from '../bench.ts';
import { timeProgram } from '../process.ts';
import type { EngineRival, RivalServer } from './rival.ts';

/**
 * Redis against its own tools. There is none that restores into a server that runs: what operators do is to start a server on
 * the RDB, so this is the rival, although its data is then visible only after the old server was stopped.
 */
export const redisRival: EngineRival = {
  engine: 'redis',
  rivals: {
    backup: 'redis-cli --rdb - > /dev/null',
    restore: 'redis-server started on the RDB, until it is loaded',
  },
  targets: { backup: 1.25, restore: 1.25 },
  start,
};

async function start({ signal }: Pick<Bench, 'signal'>): Promise<RivalServer> {
  const server = await startRedisServer();
  const tool = (file: string, stop: AbortSignal) =>
    timeProgram('redis-cli', ['-h', server.host, '-p', String(server.port), '--rdb', file], {
      signal: stop,
      env: { REDISCLI_AUTH: server.password },
    });
  return {
    connection: server.connection(),
    fill: (bytes) => fill(server, bytes, signal),
    async backUp(stop) {
      // It fails at the end of writing to /dev/null by that name, which cannot be truncated.
      await tool('-', stop);
    },
    async save(file, stop) {
      await tool(file, stop);
    },
    async restore(file, stop) {
      stop.throwIfAborted();
      await using stack = new AsyncDisposableStack();
      const copy = `${file}.restored.rdb`;
      stack.defer(() => rm(copy, { force: true }));
      await copyFile(file, copy);
      const other = await startRedisServer({ settings: { dir: join(copy, '..'), dbfilename: nameOf(copy) } });
      stack.defer(() => other.stop());
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

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
