import { unreadable } from './unreadable.ts';

/** The entries of a listpack: src/listpack.c of Redis, and https://github.com/antirez/listpack/blob/master/listpack.md. */
export function* listpackEntries(bytes: Buffer): Generator<Buffer | number | bigint> {
  const headerSize = 6;
  if (bytes.length <= headerSize || bytes.readUInt32LE(0) !== bytes.length) unreadable();
  let at = headerSize;
  while (bytes[at] !== 0xff) {
    const { value, size } = readEntry(bytes, at);
    yield value;
    // Behind each entry lies its length, so that it can be read backwards.
    at += size + backwardsSize(size);
    if (at >= bytes.length) unreadable();
  }
}

function readEntry(bytes: Buffer, at: number): { value: Buffer | number | bigint; size: number } {
  const first = bytes[at] ?? unreadable();
  if (first < 0x80) return { value: first, size: 1 };
  if (first < 0xc0) return text(bytes, at, 1, first & 0x3f);
  if (first < 0xe0) {
    const unsigned = ((first & 0x1f) << 8) | bytes[at + 1]!;
    return { value: unsigned >= 0x1000 ? unsigned - 0x2000 : unsigned, size: 2 };
  }
  if (first < 0xf0) return text(bytes, at, 2, ((first & 0x0f) << 8) | bytes[at + 1]!);
  switch (first) {
    case 0xf0:
      return text(bytes, at, 5, bytes.readUInt32LE(at + 1));
    case 0xf1:
      return { value: bytes.readInt16LE(at + 1), size: 3 };
    case 0xf2:
      return { value: bytes.readIntLE(at + 1, 3), size: 4 };
    case 0xf3:
      return { value: bytes.readInt32LE(at + 1), size: 5 };
    case 0xf4:
      return { value: bytes.readBigInt64LE(at + 1), size: 9 };
    default:
      return unreadable();
  }
}

function text(bytes: Buffer, at: number, head: number, length: number): { value: Buffer; size: number } {
  if (at + head + length > bytes.length) unreadable();
  return { value: bytes.subarray(at + head, at + head + length), size: head + length };
}

function backwardsSize(size: number): number {
  if (size <= 127) return 1;
  if (size < 16383) return 2;
  if (size < 2097151) return 3;
  return size < 268435455 ? 4 : 5;
}
