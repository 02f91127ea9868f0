import type { FileHandle } from 'node:fs/promises';
import { onDisk } from './errors.ts';

/** Bytes written before they are sent on to the disk. */
const syncBytes = 32 * 1024 * 1024;
/** Every sync holds a thread of the process's pool, so all files that are written take turns. */
let isSyncing = false;

/** What a file under way owes the disk. */
export interface EarlySync {
  /** To be called after so many bytes were written. */
  wrote(bytes: number): void;
  /** Resolves when no sync is under way; rejects when one failed, because the disk tells of a failure only once. */
  settled(): Promise<void>;
}

/**
 * Sends a file to the disk while it is written: the sync at its end, on which a put waits, then has little left to do.
 * `onFailure` hears at once that the disk failed.
 */
export function syncEarly(root: string, handle: FileHandle, onFailure: (error: unknown) => void): EarlySync {
  let owed = 0;
  let syncing: Promise<void> = Promise.resolve();
  return {
    wrote(bytes) {
      owed += bytes;
      if (owed < syncBytes || isSyncing) return;
      owed = 0;
      isSyncing = true;
      const earlier = syncing;
      const now = onDisk(root, () => handle.datasync()).finally(() => {
        isSyncing = false;
      });
      now.catch(onFailure);
      syncing = now.finally(() => earlier);
      syncing.catch(() => {});
    },
    settled: () => syncing,
  };
}
