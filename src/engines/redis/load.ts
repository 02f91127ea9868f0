import type { CommandPipe } from './command-pipe.ts';
import { Crc64 } from './crc64.ts';
import { ElementWriter, hasElements } from './elements.ts';
import { markerKey } from './marker.ts';
import { type KeyHead, RdbScanner } from './rdb-scanner.ts';
import { grammars, StringHead } from './rdb-values.ts';
import { largestPiece } from './survey.ts';
import { unreadable } from './unreadable.ts';

/** Bytes of a value from which on it is not kept in memory as a whole. */
export const splitFrom = 16 * 1024 * 1024;

/** What went by, for whoever checks what came of it. */
export interface Loaded {
  /** Keys by database of the backup. */
  readonly keys: Map<number, { keys: number; expiring: number }>;
  /** Libraries of functions, as FUNCTION RESTORE takes them, without the end of a payload. */
  readonly functions: Buffer[];
  readonly notKept: string[];
}

/**
 * Turns an RDB into commands while it goes by. A value is passed on as it lies in the RDB, with RESTORE, which is what DUMP
 * and RESTORE are made of (a type, the value, the version of the format, a checksum). Only the largest ones are taken apart.
 */
export class Loader {
  readonly loaded: Loaded = { keys: new Map(), functions: [], notKept: [] };
  readonly #pipe: CommandPipe;
  readonly #besideOf: ReadonlyMap<number, number>;
  readonly #scanner: RdbScanner;
  readonly #checksum = new Crc64();
  readonly #splitFrom: number;
  #version = Buffer.alloc(2);
  /** Used again for every key, as the pipe copies them: millions of small objects would be garbage otherwise. */
  readonly #typeByte = Buffer.alloc(1);
  readonly #digest = Buffer.alloc(8);
  #count = { keys: 0, expiring: 0 };
  #name: Buffer = Buffer.alloc(0);
  #key: KeyHead | undefined;
  #parts: Buffer[] = [];
  #size = 0;
  /** Where in the bytes at hand the value, or what is left of it, begins. */
  #valueAt = 0;
  #way: 'gather' | 'skip' | 'stream' | ElementWriter = 'gather';

  /** `besideOf`: the database to load into, by that of the backup. */
  constructor(
    pipe: CommandPipe,
    besideOf: ReadonlyMap<number, number>,
    options: { splitFrom?: number } = {},
  ) {
    this.#pipe = pipe;
    this.#besideOf = besideOf;
    this.#splitFrom = options.splitFrom ?? splitFrom;
    this.#scanner = new RdbScanner({
      version: (version) => this.#version.writeUInt16LE(version),
      functions: (record) => this.loaded.functions.push(Buffer.from(record)),
      database: (db) => this.#select(db),
      key: (key, _bytes, valueAt) => this.#begin(key, valueAt),
      valueEnd: (_key, bytes, at) => this.#end(bytes, at),
      passed: (bytes) => this.#pass(bytes),
    });
  }

  /** Nothing of the bytes is looked at afterwards. */
  feed(bytes: Buffer): void {
    this.#scanner.feed(bytes);
    if (this.#scanner.ended && this.#scanner.rest().length > 0) unreadable();
  }

  /** Whether the last command that was written is only there in part: nothing else may be written now. */
  get isWithinCommand(): boolean {
    return this.#key !== undefined && this.#way === 'stream';
  }

  /** At the end of the bytes. */
  assertWhole(): void {
    if (!this.#scanner.ended) unreadable();
  }

  /** What FUNCTION RESTORE takes; undefined where there are no functions. */
  functionsPayload(): Buffer | undefined {
    if (this.loaded.functions.length === 0) return undefined;
    const body = Buffer.concat([...this.loaded.functions, this.#version]);
    const checksum = new Crc64();
    checksum.update(body);
    return Buffer.concat([body, checksum.digest()]);
  }

  #select(db: number): void {
    this.#count = { keys: 0, expiring: 0 };
    this.loaded.keys.set(db, this.#count);
    this.#pipe.command(['SELECT', this.#besideOf.get(db) ?? unreadable()]);
  }

  #begin(key: KeyHead, valueAt: number): void {
    this.#key = key;
    this.#name = key.name();
    this.#valueAt = valueAt;
    if (this.#parts.length > 0) this.#parts = [];
    this.#size = 0;
    this.#way = 'gather';
    if (this.#name.length === markerKey.length && this.#name.equals(markerBytes)) {
      this.#way = 'skip';
      this.loaded.notKept.push(`The key ${markerKey}, whose name Forestay needs for itself.`);
      return;
    }
    this.#count.keys += 1;
    if (key.expiresAt !== undefined) this.#count.expiring += 1;
  }

  /** The bytes at hand end within the value. */
  #pass(bytes: Buffer): void {
    if (!this.#key) return;
    const part = bytes.subarray(this.#valueAt);
    this.#name = Buffer.from(this.#name);
    // What is passed on at once is copied there; the rest outlives the bytes at hand.
    this.#take(this.#way === 'stream' || this.#way === 'skip' ? part : Buffer.from(part));
    this.#valueAt = 0;
  }

  #end(bytes: Buffer, at: number): void {
    const key = this.#key;
    if (!key) return;
    this.#take(bytes.subarray(this.#valueAt, at));
    if (this.#way === 'gather') this.#restore(key);
    else if (this.#way === 'stream') this.#endPayload(key);
    else if (this.#way !== 'skip') this.#way.end(key.expiresAt);
    this.#key = undefined;
  }

  #take(part: Buffer): void {
    if (part.length === 0 || this.#way === 'skip') return;
    this.#size += part.length;
    if (this.#way === 'gather') {
      this.#parts.push(part);
      if (this.#size > this.#splitFrom) this.#split(this.#key!.type);
    } else if (this.#way === 'stream') this.#writeValue(part);
    else this.#way.feed(part);
  }

  /** The value is large: from here on it is passed on piece by piece, if its type has a way for that. */
  #split(type: number): void {
    if (hasElements(type)) {
      const writer = new ElementWriter(type, this.#name, this.#pipe, this.loaded.notKept);
      for (const part of this.#parts) writer.feed(part);
      this.#way = writer;
    } else if (grammars.get(type)?.length === 1 && grammars.get(type)?.[0] === 'string') {
      // Its encoded length says how long it is, so the command can begin.
      const head = new StringHead();
      if (!head.readString(Buffer.concat(this.#parts), 0)) unreadable();
      this.#beginPayload(type, head.size + head.body);
      for (const part of this.#parts) this.#writeValue(part);
      this.#way = 'stream';
    } else {
      if (this.#size > largestPiece) unreadable();
      return;
    }
    this.#parts = [];
  }

  #restore(key: KeyHead): void {
    this.#beginPayload(key.type, this.#size);
    for (const part of this.#parts) this.#writeValue(part);
    this.#endPayload(key);
  }

  #beginPayload(type: number, size: number): void {
    const { idle, frequency, expiresAt = 0 } = this.#key!;
    const ttl = String(expiresAt);
    const args = 5 + (idle === undefined ? 0 : 2) + (frequency === undefined ? 0 : 2);
    this.#pipe.writeText(`*${args}\r\n$7\r\nRESTORE\r\n$${this.#name.length}\r\n`);
    this.#pipe.write(this.#name);
    this.#pipe.writeText(`\r\n$${ttl.length}\r\n${ttl}\r\n$${1 + size + 10}\r\n`);
    this.#typeByte[0] = type;
    this.#pipe.write(this.#typeByte);
    this.#checksum.reset();
    this.#checksum.update(this.#typeByte);
  }

  #writeValue(part: Buffer): void {
    this.#checksum.update(part);
    this.#pipe.write(part);
  }

  #endPayload({ idle, frequency }: KeyHead): void {
    this.#checksum.update(this.#version);
    this.#pipe.write(this.#version);
    this.#checksum.write(this.#digest, 0);
    this.#pipe.write(this.#digest);
    this.#pipe.writeText('\r\n$6\r\nABSTTL\r\n');
    if (idle !== undefined) this.#pipe.writeText(option('IDLETIME', idle));
    if (frequency !== undefined) this.#pipe.writeText(option('FREQ', frequency));
    this.#pipe.replyDue();
  }
}

const markerBytes = Buffer.from(markerKey);

function option(name: string, value: number): string {
  const text = String(value);
  return `$${name.length}\r\n${name}\r\n$${text.length}\r\n${text}\r\n`;
}
