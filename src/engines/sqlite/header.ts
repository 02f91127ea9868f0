import { open } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { stageBuffer } from '../../pipeline/join-streams.ts';

/**
 * A database knows its own end: its header says how many pages it has.
 * The format: https://sqlite.org/fileformat2.html#the_database_header
 */
const headerBytes = 100;

/** Bytes of the whole database; undefined when this is the beginning of something else. */
function expectedSize(header: Buffer): number | undefined {
  if (header.length < headerBytes || header.toString('latin1', 0, 16) !== 'SQLite format 3\0')
    return undefined;
  const field = header.readUInt16BE(16);
  // 1 stands for 65,536, which does not fit.
  return (field === 1 ? 65_536 : field) * header.readUInt32BE(28);
}

/** Throws `IncompatibleBackup` unless the file is a database with all its pages. */
export async function assertWhole(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const header = Buffer.alloc(headerBytes);
    const { bytesRead } = await handle.read(header, 0, headerBytes, 0);
    const expected = expectedSize(header.subarray(0, bytesRead));
    if (expected === undefined) throw refuse('it is not a database of SQLite');
    const { size } = await handle.stat();
    if (size !== expected) throw refuse(`it has ${size} bytes, and says that it has ${expected}`);
  } finally {
    await handle.close();
  }
}

/** A stage that fails at the end with `ToolFailed` unless a whole database went by. */
export function wholeOnly(): Transform {
  let header: Buffer = Buffer.alloc(0);
  let size = 0;
  return new Transform({
    highWaterMark: stageBuffer,
    transform(bytes: Buffer, _encoding, callback) {
      if (header.length < headerBytes) {
        header = Buffer.concat([header, bytes.subarray(0, headerBytes - header.length)]);
      }
      size += bytes.length;
      callback(null, bytes);
    },
    flush(callback) {
      if (expectedSize(header) === size) return callback();
      const message = 'sqlite3 reported success, but its copy is not a whole database.';
      const hint = 'Check sqlite3 and the file system on the machine of the worker.';
      callback(new ForestayError('ToolFailed', message, { hint }));
    },
  });
}

export function refuse(why: string): ForestayError {
  return new ForestayError('IncompatibleBackup', `The backup cannot be restored: ${why}.`, {
    hint: 'Use another backup. Nothing was changed.',
  });
}
