/** Cuts the script of pg_restore into what psql would send one by one. Bytes go in and out unchanged. */
export interface ScriptPart {
  /**
   * `statement`: one SQL statement, from its first character to its semicolon. `other`: white space, comments, commands of
   * psql (`\restrict`) and rows of COPY.
   */
  readonly kind: 'statement' | 'other';
  readonly bytes: Buffer;
}

const endOfCopy = Buffer.from('\n\\.\n');
const [newline, quote, doubleQuote, dollar, dash, slash, star, backslash, open, close, semicolon] =
  Buffer.from('\n\'"$-/*\\();');
const copyFromStdin = /^COPY .* FROM stdin;$/s;

/**
 * Source of the rules: src/fe_utils/psqlscan.l. Statements are found outside of strings, quoted names, dollar quotes,
 * comments, parentheses and rows of COPY; in every encoding that a PostgreSQL server can have, bytes below 128 are ASCII.
 */
export async function* splitScript(source: AsyncIterable<Buffer>): AsyncGenerator<ScriptPart> {
  let buffer: Buffer = Buffer.alloc(0);
  let inCopy = false;
  const scanner = new Scanner();
  for await (const chunk of source) {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    for (;;) {
      if (inCopy) {
        const end = buffer.indexOf(endOfCopy);
        // The mark may lie across two chunks.
        const upTo = end === -1 ? Math.max(0, buffer.length - endOfCopy.length + 1) : end + endOfCopy.length;
        if (upTo > 0) yield { kind: 'other', bytes: buffer.subarray(0, upTo) };
        buffer = buffer.subarray(upTo);
        if (end === -1) break;
        inCopy = false;
        continue;
      }
      const found = scanner.next(buffer);
      if (!found) break;
      if (found.start > 0) yield { kind: 'other', bytes: buffer.subarray(0, found.start) };
      if (found.end > found.start) {
        const bytes = buffer.subarray(found.start, found.end);
        yield { kind: 'statement', bytes };
        inCopy = bytes.length < 1_000_000 && copyFromStdin.test(bytes.toString('latin1'));
      }
      buffer = buffer.subarray(found.end);
    }
  }
  if (inCopy) throw new Error('the script ends within the rows of a COPY');
  // What has no semicolon is no statement yet: psql would send it at the end of its input.
  if (buffer.length > 0) yield { kind: scanner.started ? 'statement' : 'other', bytes: buffer };
}

/** Remembers how far it looked, so that a long statement is not looked through again with every chunk. */
class Scanner {
  private position = 0;
  private start = -1;
  private depth = 0;
  /** `SET standard_conforming_strings = off` makes backslashes special in plain strings too. */
  private backslashes = false;

  get started(): boolean {
    return this.start >= 0;
  }

  /** The next statement or command of psql, or undefined when the buffer ends before its end. */
  next(buffer: Buffer): { start: number; end: number } | undefined {
    while (this.position < buffer.length) {
      const at = this.position;
      const byte = buffer[at];
      if (!this.started && byte === backslash) {
        const end = buffer.indexOf('\n', at);
        // A command of psql is passed on with what stands before it, as one piece that is no statement.
        return end === -1 ? undefined : this.finish(end + 1, end + 1);
      }
      const end = this.tokenEnd(buffer, at);
      if (end === undefined) return undefined;
      const isComment =
        end > at + 1 &&
        ((byte === dash && buffer[at + 1] === dash) || (byte === slash && buffer[at + 1] === star));
      const isSpace = byte === newline || byte === 0x20 || byte === 0x09 || byte === 0x0d;
      if (!this.started && !isComment && !isSpace) this.start = at;
      this.position = end;
      if (byte === open) this.depth++;
      if (byte === close) this.depth--;
      if (byte === semicolon && this.depth <= 0) {
        const start = this.start;
        this.watch(buffer.subarray(start, end));
        return this.finish(start, end);
      }
    }
    return undefined;
  }

  private finish(start: number, end: number): { start: number; end: number } {
    this.position = 0;
    this.start = -1;
    this.depth = 0;
    return { start, end };
  }

  private watch(statement: Buffer): void {
    if (statement.length > 60) return;
    const match = /^SET standard_conforming_strings = '?(on|off)'?;$/.exec(statement.toString('latin1'));
    if (match) this.backslashes = match[1] === 'off';
  }

  /** Where the token at a position ends; undefined when that is not in the buffer yet. */
  private tokenEnd(buffer: Buffer, at: number): number | undefined {
    switch (buffer[at]) {
      case quote:
        return this.backslashes || isEscapePrefix(buffer, at)
          ? escapedStringEnd(buffer, at + 1)
          : after(buffer, "'", at + 1);
      case doubleQuote:
        return after(buffer, '"', at + 1);
      case dollar:
        return dollarQuoteEnd(buffer, at);
      case dash:
        if (at + 1 >= buffer.length) return undefined;
        return buffer[at + 1] === dash ? after(buffer, '\n', at) : at + 1;
      case slash:
        if (at + 1 >= buffer.length) return undefined;
        return buffer[at + 1] === star ? blockCommentEnd(buffer, at) : at + 1;
      default:
        return at + 1;
    }
  }
}

/** A doubled quote is two strings side by side to this scanner, which comes to the same. */
function after(buffer: Buffer, mark: string, from: number): number | undefined {
  const index = buffer.indexOf(mark, from);
  return index === -1 ? undefined : index + mark.length;
}

function isEscapePrefix(buffer: Buffer, at: number): boolean {
  const before = buffer[at - 1];
  return (before === 0x45 || before === 0x65) && !isNamePart(buffer[at - 2]);
}

function escapedStringEnd(buffer: Buffer, from: number): number | undefined {
  for (let index = from; index < buffer.length; index++) {
    if (buffer[index] === backslash) index++;
    else if (buffer[index] === quote) {
      // Here a doubled quote must stay inside: what follows may hold backslashes again.
      if (index + 1 >= buffer.length) return undefined;
      if (buffer[index + 1] !== quote) return index + 1;
      index++;
    }
  }
  return undefined;
}

function dollarQuoteEnd(buffer: Buffer, at: number): number | undefined {
  if (isNamePart(buffer[at - 1])) return at + 1;
  let index = at + 1;
  while (index < buffer.length && buffer[index] !== dollar && isNamePart(buffer[index])) index++;
  if (index >= buffer.length) return undefined;
  const first = buffer[at + 1] ?? 0;
  const isParameter = first >= 0x30 && first <= 0x39;
  if (buffer[index] !== dollar || isParameter) return at + 1;
  const tag = buffer.subarray(at, index + 1);
  const end = buffer.indexOf(tag, index + 1);
  return end === -1 ? undefined : end + tag.length;
}

function blockCommentEnd(buffer: Buffer, at: number): number | undefined {
  let depth = 0;
  for (let index = at; index + 1 < buffer.length; index++) {
    if (buffer[index] === slash && buffer[index + 1] === star) {
      depth++;
      index++;
    } else if (buffer[index] === star && buffer[index + 1] === slash) {
      depth--;
      index++;
      if (depth === 0) return index + 1;
    }
  }
  return undefined;
}

/** Letters, digits, underscore, dollar, and everything that is not ASCII. */
function isNamePart(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (
    byte >= 0x80 ||
    byte === 0x5f ||
    byte === dollar ||
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a)
  );
}
