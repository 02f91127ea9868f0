import { createHash } from 'node:crypto';
import type { RedisServer } from '../../test/support/redis-server.ts';
import type { DataSize, FillStep } from '../dataset.ts';

/** 0: the shop; 1: sessions, which expire; 2: caches. */
export const databases: readonly number[] = [0, 1, 2];

const amounts: Readonly<
  Record<DataSize, Readonly<Record<'products' | 'sessions' | 'carts' | 'orders' | 'pages', number>>>
> = {
  full: { products: 60_000, sessions: 120_000, carts: 40_000, orders: 60_000, pages: 25_000 },
  small: { products: 3000, sessions: 5000, carts: 2000, orders: 3000, pages: 1500 },
};

/** The first moment after the year 2100: what expires does not do so while the story is told. */
const farAway = 4_102_444_800_000;

/** Makes the data of a shop that keeps in Redis what must be quick. The same every time. */
export async function fill(
  server: RedisServer,
  size: DataSize,
  onStep: (step: FillStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const { products, sessions, carts, orders, pages } = amounts[size];
  const { run, runIn } = server;
  const steps: readonly [string, () => Promise<void>][] = [
    [
      'products and their ranking',
      () =>
        each(products, signal, (at) => [
          run(
            'HSET',
            `product:${at}`,
            'name',
            words(at, 4),
            'text',
            words(at, 40),
            'price',
            String((at * 37) % 9900),
          ),
          run('ZADD', 'ranking:products', String((at * 7919) % 100_003), `product:${at}`),
          run('SADD', `category:${at % 40}`, `product:${at}`),
        ]),
    ],
    [
      'sessions that expire',
      () =>
        each(sessions, signal, (at) => [
          runIn(
            1,
            'SET',
            `session:${digest(at)}`,
            JSON.stringify({ user: at, theme: words(at, 1), seen: digest(at) }),
            'PXAT',
            farAway + at,
          ),
        ]),
    ],
    [
      'shopping carts',
      () =>
        each(carts, signal, (at) => [
          run(
            'RPUSH',
            `cart:${at}`,
            ...Array.from(
              { length: 1 + (at % 6) },
              (_, line) => `product:${(at * 13 + line) % products} ×${1 + (line % 3)}`,
            ),
          ),
        ]),
    ],
    ['a stream of orders, with groups that work on it', () => fillOrders(server, orders, signal)],
    [
      'cached pages and pictures',
      () =>
        each(pages, signal, (at) => [
          runIn(2, 'SET', `page:/products/${at}`, `<html>${words(at, 150)}</html>`, 'PXAT', farAway),
          runIn(2, 'SET', Buffer.from(`thumb:${at}\u0000\u00ff`, 'latin1'), picture(at)),
        ]),
    ],
    [
      'what counts and who was there',
      async () => {
        await each(2000, signal, (at) => [
          run('INCRBY', `hits:${at % 300}`, String(at)),
          run('PFADD', `visitors:${at % 30}`, digest(at)),
          run('SETBIT', `seen:${at % 20}`, at * 31, '1'),
          run('GEOADD', 'shops:places', String((at % 340) - 170), String((at % 160) - 80), `shop:${at}`),
        ]);
        await run('FUNCTION', 'LOAD', library);
      },
    ],
  ];
  for (const [done, [title, step]] of steps.entries()) {
    onStep({ done, total: steps.length, title });
    await step();
  }
}

async function fillOrders({ run }: RedisServer, orders: number, signal: AbortSignal): Promise<void> {
  const stream = 'orders:stream';
  await each(orders, signal, (at) => [
    run(
      'XADD',
      stream,
      `${1_700_000_000_000 + at * 1000}-0`,
      'customer',
      String(at % 977),
      'total',
      String((at * 31) % 5000),
      'note',
      words(at, 5),
    ),
  ]);
  for (const group of ['packing', 'invoices']) {
    await run('XGROUP', 'CREATE', stream, group, '0');
    for (const worker of ['anna', 'bert'])
      await run('XREADGROUP', 'GROUP', group, worker, 'COUNT', 200, 'STREAMS', stream, '>');
  }
  await run(
    'XACK',
    stream,
    'packing',
    ...Array.from({ length: 50 }, (_, at) => `${1_700_000_000_000 + at * 1000}-0`),
  );
}

const library =
  "#!lua name=shop\nredis.register_function('reserve', function(keys, args) return redis.call('HINCRBY', keys[1], 'stock', -args[1]) end)";

/** In batches whose replies are awaited together. */
async function each(
  amount: number,
  signal: AbortSignal,
  make: (at: number) => readonly Promise<unknown>[],
): Promise<void> {
  const batch = 2000;
  for (let start = 0; start < amount; start += batch) {
    signal.throwIfAborted();
    const end = Math.min(amount, start + batch);
    await Promise.all(Array.from({ length: end - start }, (_, at) => make(start + at)).flat());
  }
}

function digest(at: number): string {
  return createHash('sha256').update(String(at)).digest('hex');
}

/** Bytes that nothing makes smaller. */
function picture(at: number): Buffer {
  return createHash('shake256', { outputLength: 600 + (at % 800) })
    .update(String(at))
    .digest();
}

const vocabulary =
  'anchor beacon candle deck ember flag galley harbour island jetty keel lantern mast night ocean pier quay rope sail tide vessel wave'.split(
    ' ',
  );

function words(seed: number, amount: number): string {
  return Array.from(
    { length: amount },
    (_, at) => vocabulary[(seed * 7 + at * at * 3 + ((seed * at) % 11)) % vocabulary.length],
  ).join(' ');
}
