import { ForestayError } from '../core/errors.ts';

/** Why a signal aborted, as an error of the catalogue: the reason itself when it is one, else `Canceled`. */
export function abortError(signal: AbortSignal): ForestayError {
  if (signal.reason instanceof ForestayError) return signal.reason;
  return new ForestayError('Canceled', 'The work was canceled before it was finished.', {
    cause: signal.reason,
  });
}

/** Calls back once when the signal aborts (at once if it has). Returns what takes the listener away again. */
export function onAbort(
  signal: AbortSignal | undefined,
  callback: (error: ForestayError) => void,
): () => void {
  if (!signal) return () => {};
  const listener = () => callback(abortError(signal));
  if (signal.aborted) {
    listener();
    return () => {};
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
