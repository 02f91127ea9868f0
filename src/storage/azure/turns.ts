import { orAborted } from '../../pipeline/until-aborted.ts';

/** A turn of one put at one key. */
export interface Turn {
  /** Resolves when no other put of this process is at the key; at once when the turn is taken already. */
  take(signal: AbortSignal): Promise<void>;
  /** Lets the next one in. */
  end(): void;
}

/**
 * Blocks that are not committed yet belong to a key and not to a put: the commit of one put discards those of all others. So the
 * puts of one process take turns at a key. Of two processes the slower one fails, and its object is not touched.
 */
export function turnAt(turns: Map<string, Promise<void>>, key: string): Turn {
  const { promise: mine, resolve: end } = Promise.withResolvers<void>();
  let before: Promise<void> | undefined;
  return {
    async take(signal) {
      if (!before) {
        before = turns.get(key) ?? Promise.resolve();
        const last = before.then(() => mine);
        turns.set(key, last);
        void last.then(() => {
          if (turns.get(key) === last) turns.delete(key);
        });
      }
      await orAborted(before, signal);
    },
    end,
  };
}
