/**
 * Reads that many ask for at the same moment (a list that several clients poll) are done once for all of them. A read begins
 * when everything that has arrived together is taken in, and not before the one that is running has ended; whoever asks until
 * then shares it. So nobody is answered with what was true before their request, and nothing is remembered once nobody
 * waits.
 */
export function shareReads<Input, Output>(
  keyOf: (input: Input) => string,
  read: (input: Input) => Promise<Output>,
): (input: Input) => Promise<Output> {
  const running = new Map<string, Promise<Output>>();
  const waiting = new Map<string, Promise<Output>>();

  const begin = (key: string, input: Input): Promise<Output> => {
    waiting.delete(key);
    const reading = read(input).finally(() => {
      if (running.get(key) === reading) running.delete(key);
    });
    running.set(key, reading);
    return reading;
  };
  const wait = (key: string, input: Input): Promise<Output> => {
    const before = running.get(key) ?? endOfTurn();
    const next = () => begin(key, input);
    const shared = before.then(next, next);
    waiting.set(key, shared);
    return shared;
  };
  return (input) => {
    const key = keyOf(input);
    return waiting.get(key) ?? wait(key, input);
  };
}

/** When the requests that the event loop found together have been taken in. */
function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
