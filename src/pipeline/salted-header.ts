/** The container of `openssl enc`: these 8 bytes, 8 bytes of salt, then the ciphertext. */
const magic = Buffer.from('Salted__');

export const saltBytes = 8;
export const saltedHeaderBytes = magic.length + saltBytes;

export function saltedHeader(salt: Uint8Array): Buffer {
  return Buffer.concat([magic, salt]);
}

/** The salt of a header, undefined when these are not the 16 bytes of one. */
export function saltOf(header: Buffer): Buffer | undefined {
  if (header.length !== saltedHeaderBytes || !header.subarray(0, magic.length).equals(magic))
    return undefined;
  return header.subarray(magic.length);
}

/** Cuts the header off the front of a stream, in whatever pieces it comes. */
export class HeaderReader {
  #held = Buffer.alloc(0);
  #complete = false;

  get complete(): boolean {
    return this.#complete;
  }

  /** What follows the header in these bytes; `onHeader` is called once, when the header is there, and may throw. */
  take(bytes: Buffer, onHeader: (header: Buffer) => void): Buffer {
    if (this.#complete) return bytes;
    this.#held = Buffer.concat([this.#held, bytes]);
    if (this.#held.length < saltedHeaderBytes) return Buffer.alloc(0);
    const header = this.#held.subarray(0, saltedHeaderBytes);
    const rest = this.#held.subarray(saltedHeaderBytes);
    onHeader(header);
    this.#complete = true;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}
