import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ForestayError } from '../core/errors.ts';

/** SQLITE_BUSY, https://sqlite.org/rescode.html */
const sqliteBusy = 5;

/**
 * Keeps a data directory for this process; returns what gives it up. The kernel does so when the process dies, however it
 * dies: it is an exclusive transaction on an empty SQLite file, a POSIX lock underneath. Node has no lock call of its own.
 * Throws `DataDirInUse`, or `Misconfigured` where nothing can be locked.
 */
export function lockDataDir(dataDir: string): () => void {
  let file: DatabaseSync | undefined;
  try {
    file = new DatabaseSync(path.join(dataDir, 'lock'), { timeout: 0 });
    file.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    file?.close();
    if ((cause as { errcode?: number }).errcode === sqliteBusy) throw new DataDirInUse(dataDir, cause);
    throw new ForestayError('Misconfigured', `The data directory ${dataDir} cannot be locked.`, {
      hint: 'It must be on a file system with locks and room, and belong to the user that runs Forestay.',
      cause,
    });
  }
  const locked = file;
  return () => locked.close();
}

/** Another process of this machine has it, so one is running. */
export class DataDirInUse extends ForestayError {
  constructor(dataDir: string, cause: unknown) {
    super('Misconfigured', `Another Forestay process uses the data directory ${dataDir}.`, {
      hint: 'Stop it, choose another FORESTAY_DATA_DIR, or set DATABASE_URL to run several processes on one PostgreSQL.',
      cause,
    });
  }
}
