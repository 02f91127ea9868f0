/**
 * The protocol of Redis, version 2 (https://redis.io/docs/latest/develop/reference/protocol-spec/): commands as arrays of
 * bulk strings, replies of five kinds.
 */

export type Argument = string | number | bigint | Uint8Array;
/** Simple and bulk strings alike are bytes; null is a nil. An error within an array stands where its reply would be. */
export type Reply = Buffer | number | null | ReplyError | readonly Reply[];

/** What the server answered instead of a result: `WRONGPASS invalid username-password pair`. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError';
}

export function encodeCommand(args: readonly Argument[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = arg instanceof Uint8Array ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd);
  }
  return Buffer.concat(parts);
}

const lineEnd = Buffer.from('\r\n');

/** More than any reply to a command of ours; a server that announces more is none. */
const maxReplyBytes = 600 * 1024 * 1024;

/** Takes bytes as they come and gives out whole replies, in order. Throws at what is no reply. */
export class ReplyParser {
  readonly #onReply: (reply: Reply) => void;
  #parts: Buffer[] = [];
  #size = 0;
  #needed = 1;
  #stopped = false;

  constructor(onReply: (reply: Reply) => void) {
    this.#onReply = onReply;
  }

  feed(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#size += bytes.length;
    if (this.#stopped || this.#size < this.#needed) return;
    const all = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts);
    let at = 0;
    while (!this.#stopped) {
      // A server that is at work on something long sends empty lines (to replicas that wait).
      while (all[at] === 0x0a) at++;
      if (isOk(all, at)) {
        at += okLine.length;
        this.#onReply(ok);
        continue;
      }
      const read = readReply(all, at);
      if (read === undefined) break;
      at = read.end;
      this.#onReply(read.reply);
    }
    const rest = all.subarray(at);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
    this.#needed = this.#stopped ? 0 : neededFor(rest);
  }

  /** Called from within `onReply`: what follows that reply is not parsed, and is what `rest` returns. */
  stop(): void {
    this.#stopped = true;
  }

  rest(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** What comes for every key of a restore: one for all, so that millions of them are no garbage. Nobody changes replies. */
const ok: Reply = Buffer.from('OK');
const okLine = Buffer.from('+OK\r\n');

function isOk(bytes: Buffer, at: number): boolean {
  return (
    bytes.length - at >= okLine.length &&
    bytes[at] === okLine[0] &&
    bytes[at + 1] === okLine[1] &&
    bytes[at + 2] === okLine[2] &&
    bytes[at + 3] === okLine[3] &&
    bytes[at + 4] === okLine[4]
  );
}

/** A long bulk string is not looked at again before it is there. */
function neededFor(rest: Buffer): number {
  if (rest[0] !== 0x24) return rest.length + 1;
  const line = readLine(rest, 1);
  return line === undefined ? rest.length + 1 : line.end + Number(line.text) + 2;
}

function readReply(bytes: Buffer, at: number): { reply: Reply; end: number } | undefined {
  if (at >= bytes.length) return undefined;
  const line = readLine(bytes, at + 1);
  if (line === undefined) return undefined;
  const { text, end } = line;
  switch (bytes[at]) {
    case 0x2b: // +
      return { reply: Buffer.from(text, 'latin1'), end };
    case 0x2d: // -
      return { reply: new ReplyError(Buffer.from(text, 'latin1').toString('utf8')), end };
    case 0x3a: // :
      return { reply: Number(text), end };
    case 0x24: {
      const size = lengthOf(text);
      if (size === -1) return { reply: null, end };
      if (bytes.length < end + size + 2) return undefined;
      return { reply: bytes.subarray(end, end + size), end: end + size + 2 };
    }
    case 0x2a: {
      const count = lengthOf(text);
      if (count === -1) return { reply: null, end };
      const items: Reply[] = [];
      let next = end;
      for (let item = 0; item < count; item++) {
        const read = readReply(bytes, next);
        if (read === undefined) return undefined;
        items.push(read.reply);
        next = read.end;
      }
      return { reply: items, end: next };
    }
    default:
      throw notRedis();
  }
}

const maxLine = 64 * 1024;

function readLine(bytes: Buffer, at: number): { text: string; end: number } | undefined {
  const end = bytes.indexOf('\r\n', at, 'latin1');
  if (end === -1) {
    if (bytes.length - at > maxLine) throw notRedis();
    return undefined;
  }
  return { text: bytes.toString('latin1', at, end), end: end + 2 };
}

function lengthOf(text: string): number {
  const length = Number(text);
  if (!/^(-1|\d{1,10})$/.test(text) || length > maxReplyBytes) throw notRedis();
  return length;
}

function notRedis(): ReplyError {
  return new ReplyError('ERR what answers there does not speak the protocol of Redis');
}
