import { lzfDecompress } from './lzf.ts';
import { unreadable } from './unreadable.ts';

/**
 * Values as they lie in an RDB (src/rdb.h, src/rdb.c of Redis 7.0 and 7.4). A grammar says of which parts a value of a type
 * consists; a `ValueWalker` follows it through bytes that come piece by piece, and so finds where a value ends.
 */

/** `string`; `length`: a number in one to nine bytes; a number: so many bytes; `repeat`: a length, then so often the parts. */
export type Part = 'string' | 'length' | 'float' | 'module' | number | { readonly repeat: readonly Part[] };

const strings: readonly Part[] = ['string'];
const listOf = (...parts: Part[]): readonly Part[] => [{ repeat: parts }];

function stream(version: 1 | 2 | 3): readonly Part[] {
  const consumer: Part[] = ['string', 8, ...(version >= 3 ? [8] : []), { repeat: [16] }];
  const entriesRead: Part[] = version >= 2 ? ['length'] : [];
  const group: Part[] = [
    'string',
    'length',
    'length',
    ...entriesRead,
    { repeat: [16, 8, 'length'] },
    { repeat: consumer },
  ];
  const tops: Part[] = Array.from({ length: version >= 2 ? 8 : 3 }, () => 'length');
  return [{ repeat: ['string', 'string'] }, ...tops, { repeat: group }];
}

/** By the number of the type. What is not here this version cannot take apart, and so neither back up nor restore. */
export const grammars: ReadonlyMap<number, readonly Part[]> = new Map([
  [0, strings],
  [1, listOf('string')],
  [2, listOf('string')],
  [3, listOf('string', 'float')],
  [4, listOf('string', 'string')],
  [5, listOf('string', 8)],
  [7, ['length', 'module']],
  ...[9, 10, 11, 12, 13, 16, 17, 20].map((type) => [type, strings] as const),
  [14, listOf('string')],
  [15, stream(1)],
  [18, listOf('length', 'string')],
  [19, stream(2)],
  [21, stream(3)],
  // Hashes whose fields expire: the soonest expiry, then of each field its own, relative to that.
  [24, [8, { repeat: ['length', 'string', 'string'] }]],
  [25, [8, 'string']],
]);

/** A module's value: an opcode and what belongs to it, until the opcode 0. */
const moduleParts: Readonly<Record<number, Part>> = { 1: 'length', 2: 'length', 3: 4, 4: 8, 5: 'string' };

/** What a value consists of, in the order of its grammar; `repeat` gives its count. */
export type Token = Buffer | number | bigint;

interface Frame {
  parts: readonly Part[];
  index: number;
  left: number;
}

export class ValueWalker {
  /** Whether the value has ended. */
  done = true;
  /** Bytes of the next part that have not gone by. */
  #skip = 0;
  /** How many bytes, from where `walk` stopped, the next step needs at least. */
  needed = 1;
  readonly #onToken: ((token: Token) => void) | undefined;
  /** Used again for every value; those up to `#depth` are in use. */
  readonly #frames: Frame[] = [];
  #depth = 0;
  readonly #read = new StringHead();

  /** With `onToken`, strings are given out whole. */
  constructor(onToken?: (token: Token) => void) {
    this.#onToken = onToken;
  }

  start(grammar: readonly Part[]): void {
    this.#depth = 0;
    this.#enter(grammar, 1);
    this.#skip = 0;
    this.done = false;
  }

  /** Goes on from `at`; returns where it stopped: behind the value, or where it needs more bytes. */
  walk(bytes: Buffer, at: number): number {
    const { length } = bytes;
    let pos = at;
    this.needed = 1;
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, length - pos);
      this.#skip -= skipped;
      pos += skipped;
      if (this.#skip > 0) return pos;
    }
    for (;;) {
      if (this.#depth === 0) {
        this.done = true;
        return pos;
      }
      const frame = this.#frames[this.#depth - 1]!;
      if (frame.index === frame.parts.length) {
        frame.left -= 1;
        frame.index = 0;
        if (frame.left <= 0) this.#depth -= 1;
        continue;
      }
      const next = this.#step(bytes, pos, frame, frame.parts[frame.index]!);
      if (next === -1) return pos;
      pos = next;
      if (this.#skip > 0) return pos;
    }
  }

  /** One part; -1 when it is not there in full. */
  #step(bytes: Buffer, pos: number, frame: Frame, part: Part): number {
    const head = this.#read;
    if (part === 'string') {
      if (!head.readString(bytes, pos)) return this.#wait(head.size);
      const body = pos + head.size;
      const end = body + head.body;
      if (this.#onToken) {
        if (end > bytes.length) return this.#wait(end - pos);
        this.#onToken(head.decode(bytes, body));
        frame.index += 1;
        return end;
      }
      frame.index += 1;
      if (end <= bytes.length) return end;
      this.#skip = end - bytes.length;
      return bytes.length;
    }
    if (typeof part === 'number') {
      if (bytes.length - pos < part) return this.#wait(part);
      this.#onToken?.(bytes.subarray(pos, pos + part));
      frame.index += 1;
      return pos + part;
    }
    if (part === 'float') {
      // A length byte, of which the last three values are no length: not a number, plus and minus infinity.
      const size = bytes[pos];
      if (size === undefined) return this.#wait(1);
      const end = pos + 1 + (size >= 253 ? 0 : size);
      if (end > bytes.length) return this.#wait(end - pos);
      this.#onToken?.(size >= 253 ? specialFloats[size - 253]! : bytes.subarray(pos + 1, end));
      frame.index += 1;
      return end;
    }
    if (!head.readLength(bytes, pos)) return this.#wait(head.size);
    const end = pos + head.size;
    if (part === 'length') {
      this.#onToken?.(head.value);
      frame.index += 1;
    } else if (part === 'module') {
      const opcode = Number(head.value);
      if (opcode === 0) frame.index += 1;
      else this.#enter([moduleParts[opcode] ?? unreadable()], 1);
    } else {
      const count = Number(head.value);
      this.#onToken?.(count);
      frame.index += 1;
      if (count > 0) this.#enter(part.repeat, count);
    }
    return end;
  }

  #enter(parts: readonly Part[], left: number): void {
    const frame = this.#frames[this.#depth];
    if (frame === undefined) this.#frames.push({ parts, index: 0, left });
    else {
      frame.parts = parts;
      frame.index = 0;
      frame.left = left;
    }
    this.#depth += 1;
  }

  #wait(needed: number): -1 {
    this.needed = needed;
    return -1;
  }
}

const specialFloats = ['nan', '+inf', '-inf'].map((text) => Buffer.from(text));

/** The encoded length before a string, or a number, and what it says. */
export class StringHead {
  /** Bytes of the encoded length itself; after a false, how many there must be at least. */
  size = 0;
  /** Bytes of the string as it is stored, which follow. */
  body = 0;
  /** Of `readLength`: the number. A bigint only where it was stored in eight bytes. */
  value: number | bigint = 0;
  #decoded: 'plain' | 'integer' | number = 'plain';

  /** Returns false when there are too few bytes. */
  readLength(bytes: Buffer, at: number): boolean {
    const first = bytes[at];
    this.size = first === undefined || first < 0x40 ? 1 : first < 0x80 ? 2 : first === 0x80 ? 5 : 9;
    if (first === undefined || bytes.length - at < this.size) return false;
    if (first < 0x40) this.value = first;
    else if (first < 0x80) this.value = ((first & 0x3f) << 8) | bytes[at + 1]!;
    else if (first === 0x80) this.value = bytes.readUInt32BE(at + 1);
    else if (first === 0x81) this.value = bytes.readBigUInt64BE(at + 1);
    else unreadable();
    return true;
  }

  readString(bytes: Buffer, at: number): boolean {
    const first = bytes[at];
    if (first === undefined || first < 0xc0) {
      if (!this.readLength(bytes, at)) return false;
      this.body = Number(this.value);
      this.#decoded = 'plain';
      return true;
    }
    if (first <= 0xc2) {
      this.size = 1;
      this.body = 1 << (first - 0xc0);
      this.#decoded = 'integer';
      return true;
    }
    if (first !== 0xc3) unreadable();
    if (!this.readLength(bytes, at + 1)) return this.#short(1);
    const body = Number(this.value);
    const sizes = 1 + this.size;
    if (!this.readLength(bytes, at + sizes)) return this.#short(sizes);
    this.#decoded = Number(this.value);
    this.size += sizes;
    this.body = body;
    return true;
  }

  /** The string that was read last; its stored bytes begin at `at`. */
  decode(bytes: Buffer, at: number): Buffer {
    const stored = bytes.subarray(at, at + this.body);
    if (this.#decoded === 'plain') return stored;
    if (this.#decoded === 'integer') return Buffer.from(String(stored.readIntLE(0, this.body)));
    return lzfDecompress(stored, this.#decoded);
  }

  #short(before: number): false {
    this.size += before;
    return false;
  }
}
