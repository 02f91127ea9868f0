/**
 * Does a step, and does it again when it fails for a reason that may pass. Rejects with the last reason, or at once with
 * that of the signal. Adapters are given one for the steps that a wrapper around them cannot repeat, because part of what
 * surrounds the step has already happened.
 */
export type Repeat = <T>(step: () => Promise<T>, signal: AbortSignal) => Promise<T>;

/** Never again. */
export const once: Repeat = async (step, signal) => {
  signal.throwIfAborted();
  return step();
};
