/** A task is the unit of work behind a backup, a restore or a copy. Its row is the truth that users see. */

/** The status words of the wire contract; none is ever added. */
export const taskStatuses = ['queued', 'running', 'done', 'failed', 'deleted'] as const;
export type TaskStatus = (typeof taskStatuses)[number];

export const taskKinds = ['backup', 'restore', 'copy'] as const;
export type TaskKind = (typeof taskKinds)[number];

/**
 * The queue of copies: any worker makes them, whatever its pool, since they need the stores and not the instance. It is one of its
 * own, so that no backup or restore waits for a copy. No pool of an instance can have this name.
 */
export const copyPool = '.copies';

/** What a running task is doing, for progress displays. */
export type TaskPhase = 'preparing' | 'transferring' | 'verifying' | 'switching';

/** After this many attempts (crashes included, orderly stops not) a task fails instead of being queued again. */
export const maxAttempts = 5;

export function isFinished(status: TaskStatus): boolean {
  return status === 'done' || status === 'failed' || status === 'deleted';
}

/**
 * How long a task that failed retryably waits before its next attempt, in seconds: 4, 16, 60, 60, so that a store or an
 * instance may be away for two minutes.
 */
export function retryDelaySeconds(attempt: number): number {
  return Math.min(60, 4 ** attempt);
}

/** How long a task waits before it looks again whether its instance is free, in seconds: the longer, the less often. */
export function waitSeconds(waitedSeconds: number): number {
  return Math.min(15, 1 + Math.floor(waitedSeconds / 10));
}
