import type { Socket } from 'node:net';
import { errorNumber } from './errors.ts';

/** How long a server may be silent before it is taken to hang, in milliseconds. */
export const usualSilenceMs = 15 * 60 * 1000;
/** How long the server may take to say whether it is at work, in milliseconds. */
const askMs = 60_000;

/**
 * Calls `onHang` when a server answers nothing for so long and is not at work either: it hangs, or the network swallows what is
 * sent. Some statements take long (dropping large tables, building keys), so silence alone proves nothing, and the server is
 * asked through another session. To be ended when the answer is there, by calling what this returns.
 */
export function watchSilence(
  { socket, sessionId, silenceMs, withAnother }: Watched,
  onHang: (error: Error) => void,
): () => void {
  const ended = new AbortController();
  let moved = movement(socket);
  const look = async () => {
    const now = movement(socket);
    const patience = AbortSignal.any([ended.signal, AbortSignal.timeout(Math.min(askMs, silenceMs))]);
    const ask = () => withAnother(patience, (session) => isAtWork(session, sessionId));
    const alive = now !== moved || (await ask().catch(isRefusal));
    moved = now;
    if (ended.signal.aborted) return;
    if (alive) timer = setTimeout(look, silenceMs);
    else onHang(silent(silenceMs));
  };
  let timer = setTimeout(look, silenceMs);
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

/** A server that lets nobody else in just now has answered, too. */
function isRefusal(error: unknown): boolean {
  return [error, (error as Error).cause].some((each) => tooMany.has(errorNumber(each) ?? 0));
}
/** ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED. */
const tooMany: ReadonlySet<number> = new Set([1040, 1203, 1226]);

interface Watched {
  /** What carries the session. */
  readonly socket: Socket;
  /** The server's id of the session. */
  readonly sessionId: number;
  readonly silenceMs: number;
  /** Opens another session at the same server, hands it over, closes it. */
  readonly withAnother: <T>(signal: AbortSignal, use: (session: Asking) => Promise<T>) => Promise<T>;
}

interface Asking {
  query(sql: string, values: readonly unknown[]): Promise<unknown[]>;
}

function movement({ bytesRead, bytesWritten, writableLength }: Socket): number {
  return bytesRead + bytesWritten - writableLength;
}

/** Waiting for a lock is no work. */
async function isAtWork(session: Asking, id: number): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM information_schema.PROCESSLIST
     WHERE ID = ? AND COMMAND IN ('Query', 'Execute') AND COALESCE(STATE, '') NOT LIKE 'Waiting for % lock'`,
    [id],
  );
  return rows.length > 0;
}

/** With the code of a lost connection: nobody knows what became of the statement. */
function silent(silenceMs: number): Error {
  const message = `the server answered nothing for ${silenceMs / 1000} s, and is not at work`;
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}
