import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type Reply, ReplyParser } from '../../../src/engines/redis/resp.ts';

/** What a fake server does when it is asked for a copy. */
export type Copying = (socket: Socket) => void | Promise<void>;

export interface FakeRedis {
  readonly port: number;
  close(): Promise<void>;
}

/** Answers what the engine asks before a backup; what comes then is up to the test. */
export async function startFakeRedis(
  copying: Copying,
  { info = 'redis_version:7.0.15\r\nrole:master\r\n', knowsRdbOnly = true } = {},
): Promise<FakeRedis> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    const parser = new ReplyParser((request) => {
      const [name = '', sub = ''] = (request as Reply[]).map((word) => String(word).toUpperCase());
      if (name === 'INFO') socket.write(`$${info.length}\r\n${info}\r\n`);
      else if (name === 'PSYNC') void copying(socket);
      else if (sub === 'RDB-ONLY' && !knowsRdbOnly)
        socket.write('-ERR Unrecognized REPLCONF option: rdb-only\r\n');
      else socket.write('+OK\r\n');
    });
    socket.on('data', (bytes) => parser.feed(bytes));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port.');
  return {
    port: address.port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
