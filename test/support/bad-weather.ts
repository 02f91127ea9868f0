import { type Fault, type Rule, s3Error } from './fault-proxy.ts';

/** Everything that a network, a gateway and a busy server do to requests, with how often. */
const faults: readonly (readonly [weight: number, make: (random: () => number) => Fault])[] = [
  [20, (random) => ({ kind: 'delay', ms: Math.floor(random() * 150) })],
  [15, () => ({ kind: 'reset', when: 'before' })],
  [15, () => ({ kind: 'reset', when: 'after' })],
  [10, () => s3Error(500, 'InternalError')],
  [10, () => s3Error(503, 'ServiceUnavailable')],
  [15, () => s3Error(503, 'SlowDown', { 'retry-after': '0' })],
  [5, () => ({ kind: 'answer', status: 502, body: '<html>Bad gateway</html>' })],
  // A gateway that says yes to everything.
  [5, () => ({ kind: 'answer', status: 200, body: '' })],
  [8, (random) => ({ kind: 'cut', bytes: size(random), ending: 'reset' })],
  [8, (random) => ({ kind: 'cut', bytes: size(random), ending: 'end' })],
  [3, (random) => ({ kind: 'cut', bytes: size(random), ending: 'silence' })],
  [8, (random) => ({ kind: 'cut-request', bytes: size(random) })],
  [5, (random) => ({ kind: 'wrong-length', by: -1 - size(random) })],
  [5, (random) => ({ kind: 'wrong-length', by: 1 + size(random) })],
  [3, () => ({ kind: 'no-length' })],
  [3, () => ({ kind: 'silence' })],
];
const total = faults.reduce((sum, [weight]) => sum + weight, 0);

/** From a few bytes to a few MiB, small ones as often as large ones. */
function size(random: () => number): number {
  return Math.floor(2 ** (random() * 22));
}

export interface BadWeather {
  readonly rule: Rule;
  /** How many faults there were so far, by kind. */
  readonly seen: Readonly<Record<string, number>>;
}

/** From hardly any faults to hardly anything else. */
const mixed = [0.02, 0.05, 0.1, 0.3, 0.85];

/** Faults at random; `rates`: how many of the requests meet one, which changes every few requests. */
export function badWeather(random: () => number, rates: readonly number[] = mixed): BadWeather {
  const seen: Record<string, number> = {};
  let [rate, left] = [0, 0];
  return {
    seen,
    rule() {
      if (left-- <= 0) {
        rate = rates[Math.floor(random() * rates.length)]!;
        left = 5 + random() * 40;
      }
      if (random() >= rate) return undefined;
      const fault = pick(random);
      const name = fault.kind === 'answer' ? `answer ${fault.status}` : fault.kind;
      seen[name] = (seen[name] ?? 0) + 1;
      return fault;
    },
  };
}

function pick(random: () => number): Fault {
  let at = random() * total;
  for (const [weight, make] of faults) {
    at -= weight;
    if (at < 0) return make(random);
  }
  return { kind: 'silence' };
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
