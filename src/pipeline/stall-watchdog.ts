import { Transform } from 'node:stream';
import type { ForestayError } from '../core/errors.ts';

/**
 * A stage that fails with `onStall()` when no byte comes for so many milliseconds although the reader would take some.
 * A slow reader is no stall.
 */
export function stallWatchdog(stallMs: number, onStall: () => ForestayError): Transform {
  let movedAt = Date.now();
  const watchdog = new Transform({
    transform(bytes: Buffer, _encoding, callback) {
      movedAt = Date.now();
      callback(null, bytes);
    },
    flush(callback) {
      clearInterval(timer);
      callback();
    },
    destroy(error, callback) {
      clearInterval(timer);
      callback(error);
    },
  });
  const timer = setInterval(
    () => {
      const readerIsBehind = watchdog.readableLength >= watchdog.readableHighWaterMark;
      if (readerIsBehind) movedAt = Date.now();
      else if (Date.now() - movedAt >= stallMs) watchdog.destroy(onStall());
    },
    Math.max(1, stallMs / 4),
  );
  return watchdog;
}
