import { setTimeout as sleep } from 'node:timers/promises';
import { ForestayError } from '../../core/errors.ts';
import type { Target } from './connection.ts';
import { applicationName } from './names.ts';
import { type Session, withSession } from './session.ts';

/** How long the server may take to say whether it works for a tool, in milliseconds. */
const askMs = 60_000;
/** How often it is asked: also who takes rows as fast as they come waits for the next ones now and then. */
const looks = 20;

/**
 * Watches client tools that may hang: a frozen process, a network that swallows packets, a server that does not answer.
 * Must be released.
 */
export interface StallWatch {
  /** Aborts when the watched signal does, and with a retryable error when the tools stall. */
  readonly signal: AbortSignal;
  /** Something moved: bytes, most of the time. */
  alive(): void;
  /** As long as the tools wait for somebody else, for bytes or for a reader, their silence is no stall. */
  excuseWhile(condition: () => boolean): void;
  release(): void;
}

export interface StallOptions {
  readonly target: Target;
  /** What the server lists the sessions of the tools as; nobody else's may be called so. */
  readonly sessions: string;
  /** `pg_dump`, for the message. */
  readonly tool: string;
  /** Milliseconds without a sign of life after which the tools are given up. */
  readonly stallMs: number;
  readonly signal: AbortSignal;
}

/**
 * Silence alone proves nothing: no byte moves while an index is built, a constraint checked or a bloated table read, which
 * may take hours. So before tools are given up the server is asked whether it works for them; only when it does not, or
 * does not answer, they hang.
 */
export function watchForStall(options: StallOptions): StallWatch {
  const { stallMs, signal } = options;
  const stalled = new AbortController();
  const released = new AbortController();
  let movedAt = Date.now();
  let asking = false;
  const excuses: (() => boolean)[] = [];
  const look = async () => {
    if (excuses.some((condition) => condition())) movedAt = Date.now();
    if (asking || Date.now() - movedAt < stallMs) return;
    asking = true;
    const works = await isServerAtWork(options, released.signal);
    asking = false;
    if (released.signal.aborted) return;
    if (works || Date.now() - movedAt < stallMs) movedAt = Date.now();
    else stalled.abort(stallError(options));
  };
  const timer = setInterval(look, Math.max(1, stallMs / 4));
  return {
    signal: AbortSignal.any([signal, stalled.signal]),
    alive: () => {
      movedAt = Date.now();
    },
    excuseWhile: (condition) => void excuses.push(condition),
    release: () => {
      clearInterval(timer);
      released.abort();
    },
  };
}

/**
 * Work is a statement that waits neither for its client nor for a lock, and also one that began or ended since the last
 * look: many short ones move no bytes either. Locks are no excuse: tools wait for them with time limits of their own.
 */
async function isServerAtWork(
  { target, sessions, stallMs }: StallOptions,
  released: AbortSignal,
): Promise<boolean> {
  const signal = AbortSignal.any([released, AbortSignal.timeout(askMs)]);
  try {
    return await withSession(target, { signal, applicationName }, async (session) => {
      for (let look = 1; ; look++) {
        if (await isWorking(session)) return true;
        if (look === looks) return false;
        await sleep(Math.min(1000, stallMs / looks), undefined, { signal });
      }
    });
  } catch {
    return false;
  }

  async function isWorking(session: Session): Promise<boolean> {
    const rows = await session.query(
      `SELECT FROM pg_stat_activity WHERE application_name = $1 AND (
           state IN ('active', 'fastpath function call') AND coalesce(wait_event_type, '') NOT IN ('Client', 'Lock')
           OR state_change > clock_timestamp() - make_interval(secs => $2 / 1000.0)) LIMIT 1`,
      [sessions, stallMs],
    );
    return rows.length > 0;
  }
}

function stallError({ tool, stallMs }: StallOptions): ForestayError {
  return new ForestayError(
    'InstanceUnreachable',
    `${tool} moved no byte for ${stallMs / 1000} s, and the server does not work for it.`,
    { hint: 'Check the network between worker and server, and the load of both; then try again.' },
  );
}
