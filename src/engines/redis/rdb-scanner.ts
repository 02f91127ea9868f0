import { ForestayError } from '../../core/errors.ts';
import { grammars, type Part, StringHead, ValueWalker } from './rdb-values.ts';
import { unreadable } from './unreadable.ts';

/** What a reader of an RDB is told, in its order. `bytes` are only good until the call returns; positions are in them. */
export interface RdbHandler {
  /** Of the format: 10 for Redis 7.0. */
  version?(version: number): void;
  /** A fact about the RDB: `redis-ver`, `used-mem` … */
  aux?(name: string, value: string): void;
  /** What follows belongs to this database. `at` is where its record begins. */
  database?(db: number, bytes: Buffer, at: number): void;
  /** A library of functions, as FUNCTION RESTORE takes it (without the end of a payload). */
  functions?(record: Buffer): void;
  /** Data of a module that belongs to no key. */
  moduleData?(module: string, bytes: Buffer, at: number): void;
  key?(key: KeyHead, bytes: Buffer, valueAt: number): void;
  /** The value of the key has ended just before `at`. */
  valueEnd?(key: KeyHead, bytes: Buffer, at: number): void;
  /** The end: an opcode, then a checksum of eight bytes, which is 0 where the server makes none. */
  end?(bytes: Buffer, at: number, checksumAt: number): void;
  /** All of these were read: the next call goes on behind them. */
  passed?(bytes: Buffer): void;
}

/** What stands before a value. One object, used again for every key. */
export interface KeyHead {
  type: number;
  /** Milliseconds since 1970; undefined for a key that does not expire. */
  expiresAt: number | undefined;
  /** Seconds since it was used, or how often, where the server keeps count of one of them. */
  idle: number | undefined;
  frequency: number | undefined;
  /** Only within the call of `key`. */
  name(): Buffer;
}

/** The newest format this version knows: that of Redis 7.4 and 8. */
const newestVersion = 12;

const opcode = {
  slotInfo: 244,
  function: 245,
  moduleData: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  sizes: 251,
  expiryMs: 252,
  expirySeconds: 253,
  database: 254,
  end: 255,
} as const;

/** Bytes of the next piece that are put behind what is left of the last one: more than most names of keys have. */
const bridgeBytes = 512;

/** Follows an RDB that comes piece by piece, without keeping it. Throws `IncompatibleBackup` at what it does not know. */
export class RdbScanner {
  /** Whether the end was read; what follows is `rest`. */
  ended = false;
  readonly #handler: RdbHandler;
  readonly #walker = new ValueWalker();
  readonly #string = new StringHead();
  readonly #key: KeyHead;
  #inValue: 'no' | 'key' | 'module data' = 'no';
  #started = false;
  #parts: Buffer[] = [];
  #size = 0;
  #needed = 1;
  #bytes: Buffer = Buffer.alloc(0);
  #nameAt = 0;

  constructor(handler: RdbHandler) {
    this.#handler = handler;
    this.#key = {
      type: 0,
      expiresAt: undefined,
      idle: undefined,
      frequency: undefined,
      name: () => {
        this.#string.readString(this.#bytes, this.#nameAt);
        return this.#string.decode(this.#bytes, this.#nameAt + this.#string.size);
      },
    };
  }

  /** The next bytes, of which nothing is kept but a copy of what is not understood yet. */
  feed(chunk: Buffer): void {
    const bytes = this.#size > 0 && !this.ended ? this.#bridge(chunk) : chunk;
    if (bytes.length === 0) return;
    const at = this.ended ? 0 : this.#read(bytes);
    if (at < bytes.length) this.#keep(bytes.subarray(at));
  }

  /**
   * Reads what the bytes before had left, with as many of the new ones as that takes, instead of putting all of them together.
   * Returns the new ones that were neither read nor kept.
   */
  #bridge(chunk: Buffer): Buffer {
    const before = this.#size;
    for (let more = bridgeBytes; ; more *= 2) {
      const taken = Math.min(chunk.length, Math.max(more, this.#needed - before));
      if (before + taken >= this.#needed) {
        const bytes = Buffer.concat([...this.#parts, chunk.subarray(0, taken)]);
        const at = this.#read(bytes);
        if (at > 0) {
          // What was left was less than a step needs, so this is behind it.
          this.#parts = [];
          this.#size = 0;
          return chunk.subarray(at - before);
        }
      }
      if (taken < chunk.length) continue;
      this.#keep(chunk);
      return chunk.subarray(taken);
    }
  }

  #keep(bytes: Buffer): void {
    this.#parts.push(Buffer.from(bytes));
    this.#size += bytes.length;
  }

  /** Returns where it stopped. */
  #read(bytes: Buffer): number {
    this.#bytes = bytes;
    const at = this.#scan(bytes);
    if (at > 0) this.#handler.passed?.(bytes.subarray(0, at));
    return at;
  }

  /** What came behind the end. */
  rest(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #scan(bytes: Buffer): number {
    let at = 0;
    while (!this.ended) {
      if (this.#inValue !== 'no') {
        at = this.#walker.walk(bytes, at);
        if (!this.#walker.done) {
          this.#needed = this.#walker.needed;
          return at;
        }
        if (this.#inValue === 'key') this.#endOfKey(bytes, at);
        this.#inValue = 'no';
        continue;
      }
      const next = this.#started ? this.#record(bytes, at) : this.#header(bytes, at);
      if (next === -1) return at;
      at = next;
    }
    this.#needed = 1;
    return at;
  }

  #header(bytes: Buffer, at: number): number {
    if (bytes.length - at < 9) return this.#wait(9);
    const text = bytes.toString('latin1', at, at + 9);
    const version = Number(/^(?:REDIS(\d{4})|VALKEY(\d{3}))$/.exec(text)?.slice(1).join('') ?? unreadable());
    if (version > newestVersion) {
      throw new ForestayError(
        'IncompatibleBackup',
        `The server writes RDB version ${version}; this version of Forestay knows them up to ${newestVersion}.`,
        { hint: 'Use a newer version of Forestay.' },
      );
    }
    this.#started = true;
    this.#handler.version?.(version);
    return at + 9;
  }

  /** One record, or what stands before a value; -1 when it is not there in full. */
  #record(bytes: Buffer, at: number): number {
    const code = bytes[at];
    if (code === undefined) return this.#wait(1);
    if (code < opcode.slotInfo) return this.#startOfKey(bytes, at, code);
    switch (code) {
      case opcode.expiryMs: {
        const low = this.#fixed(bytes, at, 9) ? bytes.readUInt32LE(at + 1) : -1;
        if (low === -1) return -1;
        this.#key.expiresAt = low + bytes.readInt32LE(at + 5) * 2 ** 32;
        return at + 9;
      }
      case opcode.expirySeconds:
        if (!this.#fixed(bytes, at, 5)) return -1;
        this.#key.expiresAt = bytes.readInt32LE(at + 1) * 1000;
        return at + 5;
      case opcode.frequency:
        if (!this.#fixed(bytes, at, 2)) return -1;
        this.#key.frequency = bytes[at + 1];
        return at + 2;
      case opcode.idle:
        return this.#lengths(bytes, at, 1, ([idle]) => {
          this.#key.idle = Number(idle);
        });
      case opcode.database:
        return this.#lengths(bytes, at, 1, ([db]) => this.#handler.database?.(Number(db), bytes, at));
      case opcode.sizes:
        return this.#lengths(bytes, at, 2);
      case opcode.slotInfo:
        return this.#lengths(bytes, at, 3);
      case opcode.aux:
        return this.#strings(bytes, at, 2, ([name = '', value = '']) => this.#handler.aux?.(name, value));
      case opcode.function:
        return this.#strings(bytes, at, 1, (_, end) => this.#handler.functions?.(bytes.subarray(at, end)));
      case opcode.moduleData:
        return this.#lengths(bytes, at, 1, ([id = 0n]) => {
          this.#handler.moduleData?.(moduleName(id), bytes, at);
          this.#walker.start(moduleDataParts);
          this.#inValue = 'module data';
        });
      case opcode.end: {
        if (!this.#fixed(bytes, at, 9)) return -1;
        this.ended = true;
        this.#handler.end?.(bytes, at, at + 1);
        return at + 9;
      }
      default:
        return unreadable();
    }
  }

  #startOfKey(bytes: Buffer, at: number, type: number): number {
    const grammar = grammars.get(type) ?? unknownType(type);
    const string = this.#string;
    if (!string.readString(bytes, at + 1)) return this.#wait(1 + string.size);
    const valueAt = at + 1 + string.size + string.body;
    if (valueAt > bytes.length) return this.#wait(valueAt - at);
    this.#nameAt = at + 1;
    this.#key.type = type;
    this.#walker.start(grammar);
    this.#inValue = 'key';
    this.#handler.key?.(this.#key, bytes, valueAt);
    return valueAt;
  }

  #endOfKey(bytes: Buffer, at: number): void {
    const key = this.#key;
    this.#handler.valueEnd?.(key, bytes, at);
    key.expiresAt = undefined;
    key.idle = undefined;
    key.frequency = undefined;
  }

  #lengths(
    bytes: Buffer,
    at: number,
    count: number,
    use?: (values: readonly (number | bigint)[]) => void,
  ): number {
    const values: (number | bigint)[] = [];
    let end = at + 1;
    for (let index = 0; index < count; index++) {
      if (!this.#string.readLength(bytes, end)) return this.#wait(end - at + this.#string.size);
      values.push(this.#string.value);
      end += this.#string.size;
    }
    use?.(values);
    return end;
  }

  #strings(bytes: Buffer, at: number, count: number, use: (values: string[], end: number) => void): number {
    const values: string[] = [];
    let end = at + 1;
    for (let index = 0; index < count; index++) {
      if (!this.#string.readString(bytes, end)) return this.#wait(end - at + this.#string.size);
      const body = end + this.#string.size;
      end = body + this.#string.body;
      if (end > bytes.length) return this.#wait(end - at);
      values.push(this.#string.decode(bytes, body).toString('utf8'));
    }
    use(values, end);
    return end;
  }

  #fixed(bytes: Buffer, at: number, size: number): boolean {
    if (bytes.length - at >= size) return true;
    this.#wait(size);
    return false;
  }

  #wait(needed: number): -1 {
    this.#needed = needed;
    return -1;
  }
}

/** When it was written (before or after the keys) as an opcode and a number, then what the module wrote. */
const moduleDataParts: readonly Part[] = ['length', 'length', 'module'];

/** Nine letters of six bits each, then ten bits with a version (src/module.c, moduleTypeEncodeId). */
export function moduleName(id: number | bigint): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let bits = BigInt(id) >> 10n;
  let name = '';
  for (let letter = 0; letter < 9; letter++) {
    name = letters[Number(bits & 63n)] + name;
    bits >>= 6n;
  }
  return name;
}

function unknownType(type: number): never {
  throw new ForestayError(
    'IncompatibleBackup',
    `The data holds a value of type ${type}, which this version of Forestay does not know.`,
    { hint: 'It is of a newer version of Redis or Valkey. Use a newer version of Forestay.' },
  );
}
