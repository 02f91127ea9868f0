import { unreadable } from './unreadable.ts';

/** Strings of an RDB may be compressed with LibLZF (src/lzf_d.c of Redis). `size` is what comes out, in bytes. */
export function lzfDecompress(input: Buffer, size: number): Buffer {
  if (size > maxSize) unreadable();
  const output = Buffer.allocUnsafe(size);
  let from = 0;
  let to = 0;
  while (from < input.length) {
    const control = input[from++]!;
    if (control < 32) {
      // So many bytes, and one more, as they are.
      const count = control + 1;
      if (from + count > input.length || to + count > size) unreadable();
      input.copy(output, to, from, from + count);
      from += count;
      to += count;
      continue;
    }
    let length = control >> 5;
    if (length === 7) length += input[from++] ?? unreadable();
    const back = to - ((control & 0x1f) << 8) - (input[from++] ?? unreadable()) - 1;
    length += 2;
    if (back < 0 || to + length > size) unreadable();
    // What is copied may overlap with what is written: that is how repetitions are stored.
    for (let at = back; at < back + length; at++) output[to++] = output[at]!;
  }
  if (to !== size) unreadable();
  return output;
}

/** More than any string that Redis holds. */
const maxSize = 1024 * 1024 * 1024;
