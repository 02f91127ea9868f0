/**
 * Reads that many ask for at the same moment (a list that several clients poll) are done once for all of them. Whoever asks
 * while a read is running waits for the next one, which begins after they asked: so nobody is answered with what was
 * true before their request, and nothing is remembered once nobody waits.
 */
export function shareReads<Input, Output>(
  keyOf: (input: Input) => string,
  read: (input: Input) => Promise<Output>,
): (input: Input) => Promise<Output> {
  interface Running {
    readonly done: Promise<Output>;
    next: Promise<Output> | undefined;
  }
  const running = new Map<string, Running>();

  const start = (key: string, input: Input): Promise<Output> => {
    const entry: Running = { done: read(input).finally(() => leave(key, entry)), next: undefined };
    running.set(key, entry);
    return entry.done;
  };
  // The read that follows takes the place itself.
  const leave = (key: string, entry: Running) => {
    if (entry.next === undefined) running.delete(key);
  };
  return (input) => {
    const key = keyOf(input);
    const current = running.get(key);
    if (!current) return start(key, input);
    current.next ??= current.done.then(
      () => start(key, input),
      () => start(key, input),
    );
    return current.next;
  };
}
