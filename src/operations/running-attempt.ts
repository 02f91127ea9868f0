import type { Kysely } from 'kysely';
import { ForestayError } from '../core/errors.ts';
import type { TaskPhase } from '../core/task.ts';
import type { Tables } from '../db/schema.ts';
import { writeProgress } from '../db/task-attempts.ts';
import type { Task } from '../db/tasks.ts';

/** How often progress is written, and so how soon a cancel and the loss of the task are noticed, in milliseconds. */
const intervalMs = 1000;

/**
 * One attempt of a task, while it runs: takes progress, writes it once a second, and learns by that whether the task was
 * cancelled or given to another worker. Either aborts `signal`, with the reason.
 */
export interface RunningAttempt extends AsyncDisposable {
  readonly task: Task;
  readonly signal: AbortSignal;
  setPhase(phase: TaskPhase): void;
  setBytes(bytesIn: number, bytesOut: number): void;
  /** Throws unless this attempt is still the current one and nobody cancelled it: to be awaited before what others will see. */
  assertCurrent(): Promise<void>;
}

export function watchAttempt(db: Kysely<Tables>, task: Task, outer: AbortSignal): RunningAttempt {
  const stop = new AbortController();
  const signal = AbortSignal.any([outer, stop.signal]);
  const progress = { phase: 'preparing' as TaskPhase, bytesIn: 0, bytesOut: 0 };
  let ended = false;
  let writing: Promise<void> = Promise.resolve();

  const write = async () => {
    const { cancelRequested } = await writeProgress(db, task, { ...progress, now: new Date() });
    if (cancelRequested) throw canceled();
  };
  const tick = () => {
    writing = write()
      .catch((error) => {
        // A database that cannot be asked for a moment is no reason to stop: the fence is asked again before the end.
        if (error instanceof ForestayError) stop.abort(error);
      })
      .finally(() => {
        if (!ended && !signal.aborted) timer = setTimeout(tick, intervalMs);
      });
  };
  let timer = setTimeout(tick, intervalMs);

  return {
    task,
    signal,
    setPhase: (phase) => {
      progress.phase = phase;
    },
    setBytes: (bytesIn, bytesOut) => {
      progress.bytesIn = bytesIn;
      progress.bytesOut = bytesOut;
    },
    async assertCurrent() {
      signal.throwIfAborted();
      await write();
    },
    async [Symbol.asyncDispose]() {
      ended = true;
      clearTimeout(timer);
      await writing;
    },
  };
}

function canceled(): ForestayError {
  return new ForestayError('Canceled', 'Canceled by a user.');
}
