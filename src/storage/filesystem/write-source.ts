import type { FileHandle } from 'node:fs/promises';
import { release } from '../../pipeline/release.ts';
import { untilAborted } from '../../pipeline/until-aborted.ts';
import { syncEarly } from './early-sync.ts';
import { onDisk } from './errors.ts';

/** Bytes handed to one `writev`. Twice as many are in memory at most: one batch is filled while another is written. */
const batchBytes = 1024 * 1024;
/** Chunks in one batch: bounds what a source of single bytes costs. */
const batchChunks = 512;

/**
 * Writes a source to a file that is open for writing; resolves with the bytes written. Rejects with what the source threw,
 * with the reason of the signal, or with the translated error of the disk, whichever came first; then the source is
 * closed and no write or sync is under way any more.
 */
export async function writeSource(
  root: string,
  handle: FileHandle,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  // A write that fails must also end the wait for a source that is in no hurry.
  const failure = new AbortController();
  const ended = AbortSignal.any([signal, failure.signal]);
  const early = syncEarly(root, handle, (error) => failure.abort(error));
  let writing: Promise<void> = Promise.resolve();
  let batch: Uint8Array[] = [];
  let pending = 0;
  let size = 0;

  const flush = async () => {
    await writing;
    const buffers = batch;
    const bytes = pending;
    batch = [];
    pending = 0;
    writing = onDisk(root, async () => {
      await writeFully(handle, buffers);
      early.wrote(bytes);
    });
    writing.catch((error: unknown) => failure.abort(error));
  };

  try {
    for await (const chunk of untilAborted(source, ended)) {
      for (const slice of slicesOf(chunk)) {
        ended.throwIfAborted();
        batch.push(slice);
        pending += slice.length;
        size += slice.length;
        if (pending >= batchBytes || batch.length >= batchChunks) await flush();
      }
    }
    await flush();
    await writing;
    await early.settled();
    signal.throwIfAborted();
    return size;
  } finally {
    await writing.catch(() => {});
    await early.settled().catch(() => {});
  }
}

/** `writev` may write less than it was given, for one when the disk gets full; the next call then says so. */
async function writeFully(handle: FileHandle, buffers: Uint8Array[]): Promise<void> {
  while (buffers.length > 0) {
    let { bytesWritten } = await handle.writev(buffers);
    while (buffers[0] && bytesWritten >= buffers[0].length) {
      bytesWritten -= buffers[0].length;
      release(buffers[0]);
      buffers.shift();
    }
    if (buffers[0]) buffers[0] = buffers[0].subarray(bytesWritten);
  }
}

/** Keeps single writes short, so that an abort is obeyed within a huge chunk. Empty chunks have no slices. */
function* slicesOf(chunk: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < chunk.length; start += batchBytes) {
    yield chunk.subarray(start, start + batchBytes);
  }
}
