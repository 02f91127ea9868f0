import { Transform } from 'node:stream';
import { stageBuffer } from './join-streams.ts';

/**
 * A stage that passes everything on, and ends only after a check did: for sources whose clean end does not tell everything.
 * What the check throws fails the stream. Its signal is aborted when nobody waits for the check any more.
 */
export function checkAtEnd(check: (signal: AbortSignal) => Promise<void>): Transform {
  const abort = new AbortController();
  return new Transform({
    highWaterMark: stageBuffer,
    transform: (bytes, _encoding, callback) => callback(null, bytes),
    flush(callback) {
      check(abort.signal).then(() => callback(), callback);
    },
    destroy(error, callback) {
      abort.abort();
      callback(error);
    },
  });
}
