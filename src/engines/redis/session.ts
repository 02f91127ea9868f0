import type { Socket } from 'node:net';
import { ForestayError } from '../../core/errors.ts';
import { abortError, onAbort } from '../../pipeline/abort.ts';
import type { Target } from './connection.ts';
import { translateError, unreachable } from './errors.ts';
import { type Argument, encodeCommand, type Reply, ReplyError, ReplyParser } from './resp.ts';
import { openSocket } from './socket.ts';

export interface SessionOptions {
  readonly signal: AbortSignal;
  /** What the server lists the session as; restores are found and ended by it. No spaces. */
  readonly name: string;
  /** How long the server may be silent while an answer is due, in milliseconds. */
  readonly silenceMs?: number;
}

/** What a server may take for one command while it forks, loads or discards. */
export const usualSilenceMs = 60_000;

/** Waits for one reply, or for so many of which none may be an error. */
interface Expected {
  left: number;
  readonly onReply: (reply: Reply) => void;
  readonly onLost: (error: Error) => void;
}

/**
 * A session of our own at the server. It is opened once and never again by itself: who ends it at the server ends what it may
 * still do. An abort of the signal ends it at once.
 */
export class Session {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #parser: ReplyParser;
  readonly #release: () => void;
  readonly #silence: NodeJS.Timeout;
  #expected: Expected[] = [];
  #first = 0;
  #lost: Error | undefined;
  #heardAt = Date.now();
  #unread = 0;

  constructor(socket: Socket, { signal, silenceMs = usualSilenceMs }: SessionOptions) {
    this.#socket = socket;
    this.#signal = signal;
    this.#parser = new ReplyParser((reply) => this.#take(reply));
    this.#release = onAbort(signal, (error) => this.#lose(error));
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    this.#silence = setInterval(
      () => {
        // A server that reads is alive, also where it has nothing to say yet. Of a value that is sent in pieces no reply is due
        // before its end, but it must be read.
        const idle = this.#outstanding === 0 && socket.writableLength === 0;
        if (idle || socket.writableLength !== this.#unread) this.#heardAt = Date.now();
        this.#unread = socket.writableLength;
        if (Date.now() - this.#heardAt > silenceMs) this.#lose(silent(silenceMs));
      },
      Math.min(1000, silenceMs / 4),
    );
    this.#silence.unref();
  }

  get #outstanding(): number {
    return this.#expected.length - this.#first;
  }

  /** Sends one command. Throws `ReplyError` for an error reply, and translated errors for everything else. */
  command(...args: Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const onReply = (reply: Reply) => (reply instanceof ReplyError ? reject(reply) : resolve(reply));
      this.send([encodeCommand(args)], 1, onReply, reject);
    });
  }

  /** The same for a command behind whose reply comes something that is none: the next thing to call is `handOver`. */
  lastCommand(...args: Argument[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const onReply = (reply: Reply) => {
        this.#parser.stop();
        if (reply instanceof ReplyError) reject(reply);
        else resolve(reply);
      };
      this.send([encodeCommand(args)], 1, onReply, reject);
    });
  }

  /** The same as `command` for replies that are text. */
  async text(...args: Argument[]): Promise<string> {
    const reply = await this.command(...args);
    if (!Buffer.isBuffer(reply)) throw new ReplyError(`ERR ${args[0]} answered something unexpected`);
    return reply.toString('utf8');
  }

  /** Writes encoded commands; each of the `replies` goes to `onReply`. After `onSent` nobody looks at the bytes any more. */
  send(
    bytes: readonly Uint8Array[],
    replies: number,
    onReply: (reply: Reply) => void,
    onLost: (error: Error) => void,
    onSent?: () => void,
  ): void {
    if (this.#lost) {
      onLost(this.#lost);
      return;
    }
    if (replies > 0) {
      if (this.#outstanding === 0) this.#heardAt = Date.now();
      this.#expected.push({ left: replies, onReply, onLost });
    }
    for (const [index, piece] of bytes.entries())
      this.#socket.write(piece, index === bytes.length - 1 ? onSent : undefined);
  }

  /** Resolves when the server takes more; throws when the session is lost. */
  async drained(): Promise<void> {
    if (this.#lost) throw this.#lost;
    if (!this.#socket.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
    if (this.#lost) throw this.#lost;
  }

  /** Ends the session's part of it and gives the connection away, with what was read of it and not understood yet. */
  handOver(): { socket: Socket; rest: Buffer } {
    this.#detach();
    this.#socket.pause();
    return { socket: this.#socket, rest: this.#parser.rest() };
  }

  close(): void {
    this.#lost ??= new ForestayError('Canceled', 'The session was closed.');
    this.#detach();
    this.#socket.on('error', () => {});
    this.#socket.destroy();
  }

  #detach(): void {
    clearInterval(this.#silence);
    this.#release();
    this.#socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose);
  }

  readonly #onData = (bytes: Buffer) => {
    this.#heardAt = Date.now();
    try {
      this.#parser.feed(bytes);
    } catch (error) {
      this.#lose(error as Error);
    }
  };
  readonly #onError = (error: Error) => this.#lose(translateError(error, 'The connection was lost'));
  readonly #onClose = () =>
    this.#lose(
      new ForestayError('InstanceUnreachable', 'The server closed the connection.', {
        hint: unreachable.hint,
      }),
    );

  #take(reply: Reply): void {
    const expected = this.#expected[this.#first];
    if (!expected) throw new ReplyError('ERR the server answered without having been asked');
    expected.left -= 1;
    if (expected.left === 0) {
      this.#first += 1;
      if (this.#first > 1000) {
        this.#expected = this.#expected.slice(this.#first);
        this.#first = 0;
      }
    }
    expected.onReply(reply);
  }

  #lose(error: Error): void {
    if (this.#lost) return;
    const reason = this.#signal.aborted
      ? abortError(this.#signal)
      : translateError(error, 'The session failed');
    const waiting = this.#expected.slice(this.#first);
    this.close();
    this.#lost = reason;
    for (const { onLost } of waiting) onLost(reason);
  }
}

/** Connects, logs in and says who it is. Throws translated errors. */
export async function openSession(target: Target, options: SessionOptions): Promise<Session> {
  const session = new Session(await openSocket(target, options.signal), options);
  try {
    if (target.username !== undefined) await session.command('AUTH', target.username, target.password);
    else if (target.password !== '') await session.command('AUTH', target.password);
    await session.command('PING');
    await session.command('CLIENT', 'SETNAME', options.name);
    return session;
  } catch (error) {
    session.close();
    throw translateError(error, `The server ${target.host} refused the session`);
  }
}

/** Opens a session, hands it over, closes it. */
export async function withSession<T>(
  target: Target,
  options: SessionOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(target, options);
  try {
    return await use(session);
  } finally {
    session.close();
  }
}

function silent(silenceMs: number): ForestayError {
  return new ForestayError('InstanceUnreachable', `The server was silent for ${silenceMs / 1000} s.`, {
    hint: 'The server, or the network, hangs. Check it, then try again.',
  });
}
