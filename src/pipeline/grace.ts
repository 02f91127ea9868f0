/**
 * A signal that aborts a while after the other one, with the same reason: for a request whose outcome matters. Milliseconds.
 * Where the other one is aborted already there is no grace.
 */
export function withGrace(
  signal: AbortSignal,
  graceMs: number,
): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const start = () => {
    timer = setTimeout(() => late.abort(signal.reason), graceMs);
  };
  if (signal.aborted) late.abort(signal.reason);
  else signal.addEventListener('abort', start, { once: true });
  return {
    signal: late.signal,
    [Symbol.dispose]() {
      signal.removeEventListener('abort', start);
      clearTimeout(timer);
    },
  };
}
