import { ForestayError } from '../../core/errors.ts';
import type { CommandPipe } from './command-pipe.ts';
import { mib, type Plan } from './plan.ts';
import { parseInfo } from './server.ts';
import type { Session } from './session.ts';

/** Bytes of commands between two looks, at most and at least; the less room there is, the more often. */
const most = 4 * 1024 * 1024;
const least = 64 * 1024;

/**
 * Looks at the memory of the server while it is filled: before the limit is reached at which it would throw out keys of its
 * own, or refuse the writes of others, the restore fails. Only where there is a limit; then nothing is on its way meanwhile.
 */
export function watchMemory(
  session: Session,
  pipe: CommandPipe,
  { server }: Plan,
): { look(): Promise<void> } {
  let lookedAt = 0;
  let next = least;
  let before = server.usedMemory - server.notCounted;
  return {
    async look() {
      const sent = pipe.written - lookedAt;
      if (server.maxMemory === 0 || sent < next) return;
      await pipe.settle();
      const info = parseInfo(await session.text('INFO', 'memory'));
      const limit = Number(info.get('maxmemory') ?? 0);
      const used = Number(info.get('used_memory')) - Number(info.get('mem_not_counted_for_evict') ?? 0);
      const growth = Math.max(used - before, 2 * sent);
      if (limit > 0 && used + growth > limit) throw full(used, limit);
      before = used;
      lookedAt = pipe.written;
      next = Math.min(most, Math.max(least, (limit - used) / 16));
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
