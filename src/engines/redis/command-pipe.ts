import { translateError } from './errors.ts';
import { type Argument, encodeCommand, type Reply, ReplyError } from './resp.ts';
import type { Session } from './session.ts';

/** Bytes that are put together before they are written: single small commands would cost a system call each. */
const blockSize = 256 * 1024;

/** Commands, copied as they come, whose replies nobody waits for one by one. The first one that is an error fails everything that follows. */
export class CommandPipe {
  /** Bytes that were written. */
  written = 0;
  readonly #session: Session;
  #block: Buffer = Buffer.allocUnsafeSlow(blockSize);
  /** Blocks that were sent, to be filled again. */
  readonly #spare: Buffer[] = [];
  #filled = 0;
  #replies = 0;
  #failure: Error | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Bytes of encoded commands; `replyDue` says where one ends. */
  write(bytes: Uint8Array): void {
    this.written += bytes.length;
    let rest = bytes;
    while (this.#filled + rest.length > blockSize) {
      const part = rest.subarray(0, blockSize - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled = blockSize;
      this.#send();
      rest = rest.subarray(part.length);
    }
    this.#block.set(rest, this.#filled);
    this.#filled += rest.length;
  }

  writeText(text: string): void {
    if (this.#filled + text.length > blockSize) this.#send();
    const size = this.#block.write(text, this.#filled, 'latin1');
    this.#filled += size;
    this.written += size;
  }

  replyDue(): void {
    this.#replies += 1;
  }

  command(args: readonly Argument[], onReply?: (reply: Reply) => void): void {
    const bytes = encodeCommand(args);
    if (!onReply) {
      this.write(bytes);
      this.replyDue();
      return;
    }
    this.#send();
    this.written += bytes.length;
    const take = (reply: Reply) => {
      if (reply instanceof ReplyError) this.#take(reply);
      else onReply(reply);
    };
    this.#session.send([bytes], 1, take, this.#lose);
  }

  /** Fails everything that follows. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Resolves when the server takes more. Throws translated errors. */
  async ready(): Promise<void> {
    this.assertWell();
    await this.#session.drained();
    this.assertWell();
  }

  /** Resolves when every reply has come and none was an error. */
  async settle(): Promise<void> {
    this.#send();
    await this.ready();
    await this.#session.command('PING');
    this.assertWell();
  }

  assertWell(): void {
    if (this.#failure) throw translateError(this.#failure, 'The server did not take the data');
  }

  #send(): void {
    // Replies are due in the order of their commands, also where a command's last bytes are in the next block.
    if (this.#filled > 0 || this.#replies > 0) {
      const block = this.#block;
      const sent = [block.subarray(0, this.#filled)];
      this.#session.send(sent, this.#replies, this.#take, this.#lose, () => this.#spare.push(block));
      this.#block = this.#spare.pop() ?? Buffer.allocUnsafeSlow(blockSize);
    }
    this.#filled = 0;
    this.#replies = 0;
  }

  readonly #take = (reply: Reply) => {
    if (reply instanceof ReplyError) this.#failure ??= reply;
  };
  readonly #lose = (error: Error) => {
    this.#failure ??= error;
  };
}
