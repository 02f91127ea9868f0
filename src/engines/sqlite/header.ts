import { open } from 'node:fs/promises';
import { ForestayError } from '../../core/errors.ts';

/**
 * A backup knows its own end: the header of a database says how many pages it has.
 * The format: https://sqlite.org/fileformat2.html#the_database_header
 */
export async function assertWhole(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    const header = Buffer.alloc(100);
    const { bytesRead } = await handle.read(header, 0, header.length, 0);
    if (bytesRead < header.length || header.toString('latin1', 0, 16) !== 'SQLite format 3\0') {
      throw refuse('it is not a database of SQLite');
    }
    const field = header.readUInt16BE(16);
    // 1 stands for 65,536, which does not fit.
    const pageSize = field === 1 ? 65_536 : field;
    const expected = pageSize * header.readUInt32BE(28);
    const { size } = await handle.stat();
    if (size !== expected) throw refuse(`it has ${size} bytes, and says that it has ${expected}`);
  } finally {
    await handle.close();
  }
}

export function refuse(why: string): ForestayError {
  return new ForestayError('IncompatibleBackup', `The backup cannot be restored: ${why}.`, {
    hint: 'Use another backup. Nothing was changed.',
  });
}
