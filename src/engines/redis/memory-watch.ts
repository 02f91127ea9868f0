import { ForestayError } from '../../core/errors.ts';
import type { CommandPipe } from './command-pipe.ts';
import { mib } from './plan.ts';
import { parseInfo } from './server.ts';

/** Bytes of commands between two looks. */
const every = 4 * 1024 * 1024;

/**
 * Looks at the memory of the server while it is filled: before the limit is reached at which it would throw out keys of its
 * own, or refuse the writes of others, the restore fails.
 */
export function watchMemory(pipe: CommandPipe): { look(): void } {
  let lookedAt = 0;
  let before: number | undefined;
  return {
    look() {
      if (pipe.written - lookedAt < every) return;
      lookedAt = pipe.written;
      pipe.command(['INFO', 'memory'], (reply) => {
        const info = parseInfo(String(reply));
        const limit = Number(info.get('maxmemory') ?? 0);
        const used = Number(info.get('used_memory')) - Number(info.get('mem_not_counted_for_evict') ?? 0);
        const growth = before === undefined ? 0 : Math.max(0, used - before);
        before = used;
        if (limit > 0 && used + 2 * growth > limit) pipe.fail(full(used, limit));
      });
    },
  };
}

function full(used: number, limit: number): ForestayError {
  return new ForestayError(
    'InstanceFull',
    `The server uses ${mib(used)} of its maxmemory of ${mib(limit)}, and the restored data is not all there yet.`,
    { hint: 'Raise maxmemory for the time of the restore. Nothing was changed.' },
  );
}
