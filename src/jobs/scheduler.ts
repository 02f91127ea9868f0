import type { Context } from '../operations/context.ts';
import { expire } from '../operations/expire.ts';
import { keepState } from '../operations/keep-state.ts';
import { catchUpCopies } from '../operations/request-copies.ts';
import { sweep } from '../operations/sweep.ts';
import { adoptIntervalMs, adoptOrphanedTasks } from './worker.ts';

/**
 * What happens without anybody asking. Every process that works runs it: each chore looks at the database for what is to
 * be done and may be done twice at once without harm.
 */
export interface Scheduler {
  close(): Promise<void>;
}

const minute = 60_000;

export function startScheduler(context: Context): Scheduler {
  const stop = new AbortController();
  const { signal } = stop;
  const chores = [
    repeat('adopt orphaned tasks', adoptIntervalMs, () => adoptOrphanedTasks(context)),
    repeat('catch up with copies', minute, () => catchUpCopies(context, new Date(), signal)),
    repeat('keep the state', minute / 6, () => keepState(context, new Date(), signal)),
    repeat('sweep', 10 * minute, () => sweep(context, new Date(), signal)),
    repeat('expire', 60 * minute, () => expire(context, new Date(), signal)),
  ];
  return {
    async close() {
      stop.abort(new Error('the scheduler stops'));
      await Promise.all(chores.map((chore) => chore.close()));
    },
  };

  /**
   * Begins within a minute, so that a site that is restarted often does its chores, too. The next time is counted from the
   * end of the last, so that a slow chore never meets itself.
   */
  function repeat(name: string, everyMs: number, chore: () => Promise<void>): Scheduler {
    let current: Promise<void> = Promise.resolve();
    let timer = setTimeout(run, Math.min(everyMs, minute));
    function run() {
      current = chore()
        .catch((error: unknown) => {
          // A chore that fails comes again: the database or a store may be back by then.
          if (!signal.aborted) context.log.error({ err: error, chore: name }, 'a chore failed');
        })
        .finally(() => {
          if (!signal.aborted) timer = setTimeout(run, everyMs);
        });
    }
    return {
      async close() {
        clearTimeout(timer);
        await current;
      },
    };
  }
}
