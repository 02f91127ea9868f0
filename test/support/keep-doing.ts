/**
 * Does something again and again until it is told to stop; resolves when it has been done once. `stop` waits for the turn that is
 * under way, then for `end`, and throws what a turn threw: nobody else hears of it.
 */
export async function keepDoing(
  turn: (count: number) => Promise<unknown>,
  end: () => Promise<unknown> = async () => {},
): Promise<{ stop(): Promise<void> }> {
  let stopped = false;
  const first = Promise.withResolvers<void>();
  const running = (async () => {
    try {
      for (let count = 1; !stopped; count++) {
        await turn(count);
        first.resolve();
      }
    } finally {
      await end();
    }
  })();
  running.catch(first.reject);
  await first.promise;
  return {
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}
