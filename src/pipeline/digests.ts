import { createHash, createHmac, type Hash } from 'node:crypto';
import type { Manifest } from '../core/manifest.ts';

/** Size and keyed digest of a plaintext, in one pass. */
export class PlaintextDigest {
  readonly #hmac;
  #size = 0;

  constructor(plaintextMacKey: Uint8Array) {
    this.#hmac = createHmac('sha256', plaintextMacKey);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  update(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#hmac.update(bytes);
  }

  /** Once, at the end. */
  finish(): Manifest['plaintext'] {
    return { size: this.#size, hmac: this.#hmac.digest('hex') };
  }
}

/** Size, SHA-256 of the whole and SHA-256 of each chunk of a stored object, in one pass. */
export class StoredDigests {
  readonly #chunkSize: number;
  readonly #whole = createHash('sha256');
  readonly #chunks: string[] = [];
  #chunk: Hash = createHash('sha256');
  #size = 0;

  constructor(chunkSize: number) {
    this.#chunkSize = chunkSize;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    for (let at = 0; at < bytes.length; ) {
      const room = this.#chunkSize - (this.#size % this.#chunkSize);
      const part = bytes.subarray(at, at + room);
      this.#chunk.update(part);
      at += part.length;
      this.#size += part.length;
      if (part.length === room) this.#closeChunk();
    }
  }

  /** Once, at the end. */
  finish(): Omit<Manifest['data'], 'name'> {
    if (this.#size % this.#chunkSize !== 0) this.#closeChunk();
    return {
      size: this.#size,
      sha256: this.#whole.digest('hex'),
      chunk_size: this.#chunkSize,
      chunks: this.#chunks,
    };
  }

  #closeChunk(): void {
    this.#chunks.push(this.#chunk.digest('hex'));
    this.#chunk = createHash('sha256');
  }
}
