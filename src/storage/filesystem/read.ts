import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { handOver } from '../../pipeline/release.ts';
import type { GetOptions, ObjectInfo } from '../object-store.ts';
import { assertMounted, isErrno, onDisk } from './errors.ts';
import { assertNoLinks } from './folders.ts';
import { pathOf } from './paths.ts';

/** Bytes of one read; as many again may wait in the stream. */
const readBytes = 512 * 1024;

/** Opens the object before it resolves. A range that begins at or behind the end of the object is empty. */
export async function getObject(
  root: string,
  key: string,
  range: GetOptions['range'],
  signal: AbortSignal,
): Promise<Readable> {
  signal.throwIfAborted();
  const { start, end } = range ?? { start: 0, end: Number.MAX_SAFE_INTEGER };
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start) {
    throw new ForestayError(
      'BadRequest',
      'Not a range of bytes: it must begin at 0 or later and not end before its start.',
    );
  }
  const opened = await orUndefined(root, () => openObject(root, key));
  if (!opened) {
    throw new ForestayError('ObjectMissing', `The store has no object ${key}.`, {
      hint: 'It was deleted, or this is not the store it was put into.',
    });
  }
  return streamOf(root, opened.handle, { start, end: Math.min(end, opened.size) }, signal);
}

export async function headObject(
  root: string,
  key: string,
  signal: AbortSignal,
): Promise<ObjectInfo | undefined> {
  signal.throwIfAborted();
  return orUndefined(root, async () => {
    await assertNoLinks(root, key);
    const found = await lstat(pathOf(root, key));
    return found.isFile() ? { key, size: found.size, modifiedAt: found.mtime } : undefined;
  });
}

/** Undefined where there is nothing of that name in a store that is there. */
async function orUndefined<T>(root: string, step: () => Promise<T>): Promise<T | undefined> {
  return onDisk(root, async () => {
    try {
      return await step();
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      await assertMounted(root);
      return undefined;
    }
  });
}

async function openObject(
  root: string,
  key: string,
): Promise<{ handle: FileHandle; size: number } | undefined> {
  await assertNoLinks(root, key);
  // O_NONBLOCK: opening a pipe that somebody put there must not wait for its writer.
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  const handle = await open(pathOf(root, key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (found.isFile()) return { handle, size: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return undefined;
}

/** Owns the handle: closes it at the end, on errors, when the stream is destroyed and when the signal aborts. */
function streamOf(
  root: string,
  handle: FileHandle,
  range: { readonly start: number; readonly end: number },
  signal: AbortSignal,
): Readable {
  let position = range.start;
  let reading: Promise<void> = Promise.resolve();

  const next = async (): Promise<Buffer | null> => {
    const length = Math.min(readBytes, range.end - position);
    if (length <= 0) return null;
    const { buffer, bytesRead } = await onDisk(root, () =>
      handle.read(Buffer.allocUnsafeSlow(length), 0, length, position),
    );
    if (bytesRead === 0) {
      throw new ForestayError('BackupDamaged', 'An object in the store became shorter while it was read.', {
        hint: `Nothing but Forestay may change files in the folder of the store, file:${root}.`,
      });
    }
    position += bytesRead;
    return handOver(buffer.subarray(0, bytesRead));
  };

  const stream = new Readable({
    highWaterMark: readBytes,
    read() {
      reading = next().then(
        (chunk) => void this.push(chunk),
        (error: Error) => void this.destroy(error),
      );
    },
    destroy(error, done) {
      signal.removeEventListener('abort', abort);
      // Closing under a read would let it read from whatever gets the same descriptor next.
      reading.then(() => handle.close()).then(() => done(error), done);
    },
  });
  const abort = () => stream.destroy(signal.reason instanceof Error ? signal.reason : new Error('Aborted'));
  // Who reads the stream gets the error. Without this an abort before anybody reads would end the process.
  stream.on('error', () => {});
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  return stream;
}
