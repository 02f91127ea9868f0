import { randomBytes } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { runTool } from '../pipeline/child-process.ts';
import { hasErrno } from './errno.ts';
import { exists } from './folder-container.ts';
import { goneContainer } from './folder-names.ts';
import type { Place } from './roots.ts';

/** Takes a container's name away, so that no attempt can use it any more. Undefined when it is not there. */
export async function takeAway(
  container: string,
  place: Place,
  ticketId: string,
): Promise<string | undefined> {
  const gone = goneContainer(place, ticketId, randomBytes(6).toString('hex'));
  try {
    await rename(container, gone);
    return gone;
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** How long a program of an attempt that is given up may go on writing into what is being removed. */
const patienceMs = 10_000;

/**
 * Removes a folder with everything in it. By rm, because Node cannot name files whose names are not UTF-8; it never leaves
 * the folder's file system and never follows links.
 */
export async function removeTree(folder: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (await exists(folder)) {
    try {
      await runTool('rm', ['--recursive', '--force', '--one-file-system', folder], { signal });
    } catch (error) {
      if (Date.now() > deadline || signal.aborted) throw error;
      // Whoever is not root needs the right to write in folders that were restored without it.
      await runTool('chmod', ['--recursive', 'u+rwx', folder], { signal }).catch(() => {});
      await sleep(50);
    }
  }
}
