import type { RedisServer } from '../../support/redis-server.ts';

/** Every type in every encoding, and names and values that break careless code. */
export async function fillHostile(server: RedisServer): Promise<void> {
  const { run, runIn } = server;
  const nasty = Buffer.from([0, 1, 13, 10, 255, 254, 0x24, 0x2a, 0x27, 0x22, 0x5c, 0xc0]);
  await run('SET', nasty, nasty);
  await run('SET', '', '');
  await run('SET', '*3\r\n$3\r\nSET\r\n', '\r\n$5\r\n');
  await run('SET', 'name with spaces "quotes" \\ ü 🦫', 'ü 🦫');
  await run('SET', '12345', '-1');
  await run('SET', '-128', '32767');
  await run('SET', 'int32', '-2147483648');
  await run('SET', 'int64', '9223372036854775807');
  await run('SET', 'a'.repeat(300), 'long name that is compressed');
  await run('SET', 'compressible', 'abcabc'.repeat(5000));
  await run('SET', 'bits', Buffer.alloc(3000));
  await run('PFADD', 'hyperloglog', 'a', 'b', 'c');
  await run('GEOADD', 'geo', '13.361389', '38.115556', 'Palermo');
  await run('RPUSH', 'list', 'a', '1', '-5', '70000', '99999999999', '', 'x'.repeat(100));
  await run(
    'RPUSH',
    'long list',
    ...Array.from({ length: 3000 }, (_, at) => `element ${at} ${'y'.repeat(at % 90)}`),
  );
  await run('RPUSH', 'list with a large element', 'z'.repeat(20_000), 'small');
  await run('SADD', 'integers', '1', '2', '-3', '70000', '5000000000');
  await run('SADD', 'set', ...Array.from({ length: 600 }, (_, at) => `member ${at}`));
  await run('HSET', 'hash', 'field', 'value', '', '', nasty, nasty);
  await run(
    'HSET',
    'large hash',
    ...Array.from({ length: 1500 }, (_, at) => [`f${at}`, `v${at}`.repeat(3)]).flat(),
  );
  await run('ZADD', 'small zset', '1.5', 'a', '-inf', 'b', '+inf', 'c', '-0', 'd', '1e300', 'e');
  await run(
    'ZADD',
    'large zset',
    ...Array.from({ length: 900 }, (_, at) => [String(at / 7), `member ${at}`]).flat(),
    '-inf',
    'low',
    '+inf',
    'high',
    '-0',
    'negative zero',
  );
  await fillStreams(server);
  await run('SET', 'expires in an hour', 'v', 'PX', 3_600_000);
  await run('HSET', 'hash that expires', 'a', 'b');
  await run('PEXPIREAT', 'hash that expires', 4_102_444_800_123);
  await runIn(3, 'SET', 'in database 3', 'v', 'EX', 86_400);
  await runIn(3, 'ZADD', 'z', '1', 'm');
  await runIn(7, 'SET', 'only key', 'v');
  await run(
    'FUNCTION',
    'LOAD',
    "#!lua name=lib1\nredis.register_function('f1', function(keys, args) return 'ü' .. #args end)",
  );
  await run(
    'FUNCTION',
    'LOAD',
    "#!lua name=lib2\nredis.register_function{function_name='f2', callback=function() return 2 end, flags={'no-writes'}}",
  );
}

/** Deleted entries, several groups and consumers, pending messages, some of them of entries that are no more. */
export async function fillStreams({ run }: RedisServer, entries = 300): Promise<void> {
  for (let at = 1; at <= entries; at++) {
    const fields =
      at % 50 === 0 ? ['other', String(at), 'more', 'x'] : ['field', String(at), 'text', 'y'.repeat(at % 40)];
    await run('XADD', 'stream', `${1000 + Math.floor(at / 3)}-${at}`, ...fields);
  }
  await run('XGROUP', 'CREATE', 'stream', 'group', 0);
  await run('XGROUP', 'CREATE', 'stream', 'gruppe "ü"', '1050-150');
  await run('XGROUP', 'CREATECONSUMER', 'stream', 'group', 'idle');
  await run('XREADGROUP', 'GROUP', 'group', 'first', 'COUNT', 20, 'STREAMS', 'stream', '>');
  await run('XREADGROUP', 'GROUP', 'group', 'second', 'COUNT', 5, 'STREAMS', 'stream', '>');
  await run('XACK', 'stream', 'group', '1000-1', '1000-2');
  await run('XCLAIM', 'stream', 'group', 'second', 0, '1001-3', 'RETRYCOUNT', 7);
  await run('XDEL', 'stream', '1002-6', '1100-300');
  await run('XADD', 'emptied stream', '5-5', 'a', 'b');
  await run('XDEL', 'emptied stream', '5-5');
  await run('XGROUP', 'CREATE', 'stream of a group only', 'g', '$', 'MKSTREAM');
}
