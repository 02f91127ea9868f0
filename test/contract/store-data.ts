import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { AbandonedPutsOptions, ObjectInfo } from '../../src/storage/object-store.ts';

/** What the contract suite of the stores puts in and gets out. */

export const never = new AbortController().signal;

/** Everything that could count as abandoned, also what begins only now: servers have clocks of their own. */
export function abandoned(changes: Partial<AbandonedPutsOptions> = {}): AbandonedPutsOptions {
  return { before: new Date(Date.now() + 60_000), isOurs: () => true, signal: never, ...changes };
}

/** A source of unknown size: the bytes in chunks of uneven sizes, some of them empty. */
export async function* inChunks(bytes: Uint8Array, chunkBytes = 100_003): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(0);
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    yield bytes.subarray(start, start + chunkBytes);
    if (start === 0) yield new Uint8Array(0);
  }
}

/** Fresh chunks, none kept: for objects that must not fit into memory. Calls back with the bytes given out so far. */
export async function* generated(
  totalBytes: number,
  onChunk: (bytesSoFar: number) => void = () => {},
  chunkBytes = 256 * 1024,
): AsyncGenerator<Uint8Array> {
  for (let soFar = 0; soFar < totalBytes; soFar += chunkBytes) {
    yield Buffer.alloc(Math.min(chunkBytes, totalBytes - soFar), soFar % 251);
    onChunk(soFar + chunkBytes);
  }
}

/** Gives out some bytes, then fails. */
export async function* failing(bytes: number, error: Error): AsyncGenerator<Uint8Array> {
  yield* generated(bytes);
  throw error;
}

/** Gives out some bytes, reports that, and then nothing more for ever, like a source that hangs. */
export async function* hanging(bytes: number, onHang: () => void): AsyncGenerator<Uint8Array> {
  yield* generated(bytes);
  onHang();
  await new Promise(() => {});
}

export async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function keysOf(objects: AsyncIterable<ObjectInfo>): Promise<string[]> {
  const keys: string[] = [];
  for await (const object of objects) keys.push(object.key);
  return keys.sort();
}

/** Bytes of buffers that something still refers to: garbage is collected first. */
export function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}
