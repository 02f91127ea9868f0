import { type DestinationStream, type Logger, pino } from 'pino';
import { loggedError } from './http/logged-error.ts';

/** The service's log: JSON, a line each, on stderr. */
export function makeLog(level: string): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      // Not pino's own, which tells all properties of an error: drivers keep queries and their parameters there.
      serializers: { err: (thrown: unknown) => (thrown instanceof Error ? loggedError(thrown) : thrown) },
    },
    gathering(2),
  );
}

/** How long a line waits for others to be written with, in milliseconds. */
const gatherMs = 20;
/** Bytes of lines that are enough to be written at once; less than one write takes. */
const gatherBytes = 63 * 1024;
const writeBytes = 64 * 1024;

/**
 * Writes lines in groups: waking the thread that writes for each of them costs a fifth of a polled request (measured).
 * Writing in the request's own thread would wake nobody, but would stop the service with whoever stopped reading its log.
 * When the process exits, by an uncaught error too, pino writes what is left. What only ends it from outside, such as
 * kill -9, loses the lines of the last moment: the log tells operators what went on, and nothing rests on its being whole.
 */
function gathering(fileDescriptor: number): DestinationStream {
  const destination = pino.destination({
    dest: fileDescriptor,
    sync: false,
    minLength: gatherBytes,
    maxWrite: writeBytes,
    // Strings would be measured again from their beginning with each line. The types know no other mode.
    contentMode: 'buffer',
  });
  let isFlushDue = false;
  const flush = () => {
    isFlushDue = false;
    destination.flush();
  };
  return {
    write(line) {
      destination.write(Buffer.from(line) as unknown as string);
      if (isFlushDue) return;
      isFlushDue = true;
      // Holds up the end of the process for this moment: pino ends the destination then, which takes no flush any more.
      setTimeout(flush, gatherMs);
    },
  };
}
