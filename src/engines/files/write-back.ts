import type { Transform } from 'node:stream';
import { runTool } from '../../pipeline/child-process.ts';
import { mapBytes } from '../../pipeline/join-streams.ts';

/** Bytes that may wait for the disk before they are sent on to it. */
const owedBytes = 128 * 1024 * 1024;

/** What is unpacked goes to the disk meanwhile, so that the switch has little left to wait for. */
export interface WriteBack {
  /** What is to be unpacked goes through it. */
  readonly stage: Transform;
  /** Resolves when what was sent to the disk is there. Rejects when it is not: a disk tells of a failure only once. */
  finish(): Promise<void>;
  /** Resolves when nothing of it is running any more. */
  settled(): Promise<void>;
}

/** `onFailure` hears at once that the disk failed. */
export function writeBack(folder: string, signal: AbortSignal, onFailure: (error: Error) => void): WriteBack {
  const sync = () => runTool('sync', ['--file-system', folder], { signal }).then(() => {});
  let owed = 0;
  let isSyncing = false;
  let earlier: Promise<void> = Promise.resolve();
  const syncEarly = () => {
    owed = 0;
    isSyncing = true;
    const before = earlier;
    earlier = sync()
      .finally(() => before)
      .finally(() => {
        isSyncing = false;
      });
    earlier.catch(onFailure);
  };
  return {
    stage: mapBytes((bytes) => {
      owed += bytes.length;
      if (owed >= owedBytes && !isSyncing) syncEarly();
      return bytes;
    }),
    finish: () => earlier,
    settled: () => earlier.catch(() => {}),
  };
}
