import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../src/engines/engine.ts';
import { createRedisEngine } from '../../../src/engines/redis/engine.ts';
import { takeBackup } from '../../contract/engine-contract.ts';
import { startRedisServer } from '../../support/redis-server.ts';
import { type Copying, startFakeRedis } from './fake-server.ts';
import { makeRedisInstance } from './instance.ts';

const engine = createRedisEngine({ stallMs: 300 });
const patient = createRedisEngine({ stallMs: 20_000 });
const never = new AbortController().signal;
const mark = 'm'.repeat(40);
const started = '+FULLRESYNC 0000000000000000000000000000000000000000 1\r\n';
let rdb: Buffer;
/** Larger than what is read ahead. */
let large: Buffer;

beforeAll(async () => {
  const server = await startRedisServer();
  const instance = await makeRedisInstance(server);
  await instance.fill('hostile');
  rdb = (await takeBackup(createRedisEngine(), instance.connection)).bytes;
  await instance.fill('bulk');
  large = (await takeBackup(createRedisEngine(), instance.connection)).bytes;
  await server.stop();
});

type Options = Parameters<typeof startFakeRedis>[1] & { readonly by?: Engine };

async function copyFrom(copying: Copying, { by = patient, ...options }: Options = {}): Promise<Buffer> {
  const fake = await startFakeRedis(copying, options);
  try {
    const connection = by.parseConnection({ host: '127.0.0.1', port: fake.port });
    const { stream } = await by.backUp(connection, never);
    return await buffer(stream);
  } finally {
    await fake.close();
  }
}

const pieces = async (socket: Socket, bytes: Buffer, size: number) => {
  for (let at = 0; at < bytes.length; at += size) {
    socket.write(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
};
const withLength = (bytes: Buffer, length = bytes.length) =>
  Buffer.concat([Buffer.from(`${started}$${length}\r\n`), bytes]);
const withMark = (bytes: Buffer, end = mark) =>
  Buffer.concat([Buffer.from(`${started}$EOF:${mark}\r\n`), bytes, Buffer.from(end)]);
const changed = (at: number) => {
  const copy = Buffer.from(rdb);
  copy[at]! ^= 1;
  return copy;
};

test.for([1, 7, 1000, 1_000_000])(
  'an RDB in pieces of %i bytes is taken, with either kind of announcement',
  async (size) => {
    expect(await copyFrom((socket) => pieces(socket, withLength(rdb), size))).toEqual(rdb);
    expect(await copyFrom((socket) => pieces(socket, withMark(rdb), size))).toEqual(rdb);
  },
);

test('a server that hangs up right behind the RDB is no fault, however slow its reader is', async () => {
  const fake = await startFakeRedis((socket) => void socket.end(withMark(large)));
  try {
    const connection = patient.parseConnection({ host: '127.0.0.1', port: fake.port });
    const { stream } = await patient.backUp(connection, never);
    const read: Buffer[] = [];
    for await (const bytes of stream) {
      read.push(bytes);
      await sleep(20);
    }
    expect(Buffer.concat(read).equals(large)).toBe(true);
  } finally {
    await fake.close();
  }
});

test('empty lines of a server that is at work are no answer, and keep the backup waiting', async () => {
  const copying: Copying = async (socket) => {
    for (let line = 0; line < 8; line++) {
      if (line === 4) socket.write(started);
      socket.write('\n');
      await sleep(250);
    }
    socket.write(Buffer.concat([Buffer.from(`$${rdb.length}\r\n`), rdb]));
  };
  expect(await copyFrom(copying, { by: createRedisEngine({ stallMs: 1500 }) })).toEqual(rdb);
});

test('a server before 7.0, which does not know rdb-only and goes on with what was written meanwhile', async () => {
  const more = Buffer.concat([withLength(rdb), Buffer.from('*1\r\n$4\r\nPING\r\n')]);
  const copy = await copyFrom((socket) => void socket.write(more), {
    info: 'redis_version:6.2.0\r\nrole:master\r\n',
    knowsRdbOnly: false,
  });
  expect(copy).toEqual(rdb);
});

test('an RDB without a checksum is taken, as servers make it that are told to save the time', async () => {
  const unchecked = Buffer.concat([rdb.subarray(0, -8), Buffer.alloc(8)]);
  expect(await copyFrom((socket) => void socket.write(withLength(unchecked)))).toEqual(unchecked);
});

test.for<readonly [string, () => Buffer]>([
  ['is cut and closed', () => withLength(rdb).subarray(0, -20)],
  ['is cut just before its mark and closed', () => withMark(rdb).subarray(0, -40)],
  ['has another end mark', () => withMark(rdb, 'n'.repeat(40))],
  ['is shorter than announced', () => withLength(rdb, rdb.length + 10)],
  ['is longer than announced', () => withLength(rdb, rdb.length - 10)],
  ['is announced without its end', () => withLength(rdb.subarray(0, -9))],
  ['has a changed byte in a value', () => withLength(changed(rdb.indexOf('long name that')))],
  ['has a changed checksum', () => withLength(changed(rdb.length - 1))],
])('promise 1: an RDB that %s fails the backup', async ([, bytes]) => {
  const copying = copyFrom((socket) => {
    socket.end(bytes());
  });
  await expect(copying).rejects.toMatchObject({ code: 'InstanceUnreachable', hint: expect.any(String) });
});

test.for([0, 1, 30, 5000])(
  'promise 1: a server that hangs after %i bytes fails the backup',
  async (after) => {
    const copying = copyFrom(
      (socket) => void socket.write(withLength(rdb).subarray(0, started.length + after)),
      { by: createRedisEngine({ stallMs: 2000 }) },
    );
    await expect(copying).rejects.toMatchObject({ code: 'InstanceUnreachable', retryable: true });
  },
);

test('a server that hangs before it answers fails the backup', async () => {
  await expect(copyFrom(() => {}, { by: engine })).rejects.toMatchObject({ code: 'InstanceUnreachable' });
});

test('a server that gives up while it makes the RDB says why', async () => {
  const copying = copyFrom(
    (socket) => void socket.write(`${started}\n\n-ERR BGSAVE failed, replication can't continue\r\n`),
  );
  await expect(copying).rejects.toMatchObject({ message: expect.stringContaining('BGSAVE failed') });
});

test('a newer format, a type that is not known, and what is no RDB are refused when they are backed up', async () => {
  const newer = Buffer.from(rdb);
  newer.write('0099', 5);
  await expect(copyFrom((socket) => void socket.write(withLength(newer)))).rejects.toMatchObject({
    code: 'IncompatibleBackup',
    message: expect.stringContaining('RDB version 99'),
  });
  const unknown = Buffer.concat([Buffer.from('REDIS0010'), Buffer.of(0xfe, 0, 99, 1, 0x61, 0)]);
  await expect(copyFrom((socket) => void socket.write(withLength(unknown)))).rejects.toMatchObject({
    code: 'IncompatibleBackup',
    message: expect.stringContaining('type 99'),
  });
  await expect(
    copyFrom((socket) => void socket.write(withLength(Buffer.from('no RDB at all')))),
  ).rejects.toMatchObject({
    code: 'IncompatibleBackup',
  });
});

test.for<readonly [string, string, string]>([
  ['a node of a cluster', 'redis_version:7.0.15\r\ncluster_enabled:1\r\n', 'cluster'],
  ['a Sentinel', 'redis_version:7.0.15\r\nredis_mode:sentinel\r\n', 'Sentinel'],
  ['a server of an old version', 'redis_version:3.2.1\r\n', '3.2.1'],
])('%s is refused with a clear word', async ([, info, word]) => {
  const fake = await startFakeRedis(() => {}, { info });
  const connection = engine.parseConnection({ host: '127.0.0.1', port: fake.port });
  const expected = {
    code: 'InstanceRefused',
    message: expect.stringContaining(word),
    hint: expect.any(String),
  };
  await expect(engine.probe(connection, never)).rejects.toMatchObject(expected);
  await expect(engine.backUp(connection, never)).rejects.toMatchObject(expected);
  await fake.close();
});

test('what does not speak the protocol of Redis is refused', async () => {
  const http = createServer((_, answer) => answer.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => http.once('listening', resolve));
  const { port } = http.address() as { port: number };
  const connection = engine.parseConnection({ host: '127.0.0.1', port });
  await expect(engine.probe(connection, never)).rejects.toMatchObject({ code: 'InstanceRefused' });
  http.closeAllConnections();
  http.close();
});
