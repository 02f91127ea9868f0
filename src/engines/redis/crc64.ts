/**
 * CRC-64 as Redis has it at the end of an RDB and of what DUMP answers: polynomial 0xad93d23594c935a9 ("Jones"), reflected,
 * starting at 0 (src/crc64.c of Redis). Eight bytes a step with eight tables; a BigInt would be a hundred times slower, so
 * the 64 bits are kept as two halves.
 */
export class Crc64 {
  #low = 0;
  #high = 0;

  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    const from = end - start < longRun ? start : this.#words(bytes, start, end);
    let low = this.#low;
    let high = this.#high;
    for (let at = from; at < end; at++) {
      const index = (low ^ bytes[at]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ lows[index]!;
      high = (high >>> 8) ^ highs[index]!;
    }
    this.#low = low;
    this.#high = high;
  }

  /** Eight bytes at a time, as far as they go; returns where they end. */
  #words({ buffer, byteOffset }: Uint8Array, start: number, end: number): number {
    // Read by V8 as words, which bytes that are put together are not: twice as fast.
    const words = new DataView(buffer, byteOffset + start, end - start);
    const stop = (end - start) & ~7;
    let low = this.#low;
    let high = this.#high;
    for (let at = 0; at < stop; at += 8) {
      low ^= words.getInt32(at, true);
      high ^= words.getInt32(at + 4, true);
      const a = 1792 + (low & 255);
      const b = 1536 + ((low >>> 8) & 255);
      const c = 1280 + ((low >>> 16) & 255);
      const d = 1024 + (low >>> 24);
      const e = 768 + (high & 255);
      const f = 512 + ((high >>> 8) & 255);
      const g = 256 + ((high >>> 16) & 255);
      const h = high >>> 24;
      low = lows[a]! ^ lows[b]! ^ lows[c]! ^ lows[d]! ^ lows[e]! ^ lows[f]! ^ lows[g]! ^ lows[h]!;
      high = highs[a]! ^ highs[b]! ^ highs[c]! ^ highs[d]! ^ highs[e]! ^ highs[f]! ^ highs[g]! ^ highs[h]!;
    }
    this.#low = low;
    this.#high = high;
    return start + stop;
  }

  reset(): void {
    this.#low = 0;
    this.#high = 0;
  }

  /** Eight bytes, little endian, as it lies in an RDB. */
  write(into: Buffer, at: number): void {
    into.writeInt32LE(this.#low | 0, at);
    into.writeInt32LE(this.#high | 0, at + 4);
  }

  digest(): Buffer {
    const bytes = Buffer.alloc(8);
    this.write(bytes, 0);
    return bytes;
  }
}

/** Bytes from which on words pay: a view of them is an object to make. */
const longRun = 64;

const reflectedLow = 0xac4bc9b5;
const reflectedHigh = 0x95ac9329;
const lows = new Int32Array(2048);
const highs = new Int32Array(2048);
fillTables();

/** Entry `256 k + n`: what byte n does to the remainder when k more bytes follow it. */
function fillTables(): void {
  for (let byte = 0; byte < 256; byte++) {
    let low = byte;
    let high = 0;
    for (let bit = 0; bit < 8; bit++) {
      const carry = low & 1;
      low = (low >>> 1) | (high << 31);
      high >>>= 1;
      if (carry) {
        low ^= reflectedLow;
        high ^= reflectedHigh;
      }
    }
    lows[byte] = low;
    highs[byte] = high;
  }
  for (let at = 256; at < 2048; at++) {
    const low = lows[at - 256]!;
    const high = highs[at - 256]!;
    lows[at] = ((low >>> 8) | (high << 24)) ^ lows[low & 255]!;
    highs[at] = (high >>> 8) ^ highs[low & 255]!;
  }
}
