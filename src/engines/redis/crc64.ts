/**
 * CRC-64 as Redis has it at the end of an RDB and of what DUMP answers: polynomial 0xad93d23594c935a9 ("Jones"), reflected,
 * starting at 0 (src/crc64.c of Redis). Eight bytes a step with eight tables; a BigInt would be a hundred times slower, so
 * the 64 bits are kept as two halves.
 */
export class Crc64 {
  #low = 0;
  #high = 0;

  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    let low = this.#low;
    let high = this.#high;
    let at = start;
    for (const stop = end - 7; at < stop; at += 8) {
      low ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      high ^= bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
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
    for (; at < end; at++) {
      const index = (low ^ bytes[at]!) & 255;
      low = ((low >>> 8) | (high << 24)) ^ lows[index]!;
      high = (high >>> 8) ^ highs[index]!;
    }
    this.#low = low;
    this.#high = high;
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
