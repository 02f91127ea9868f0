import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Tmpfs extends AsyncDisposable {
  readonly mountPoint: string;
  remount(options: string): Promise<void>;
  /** At once, although files are open: as when a disk is pulled out. */
  unmount(): Promise<void>;
}

/** A small file system of its own, to fill and to pull out. */
export async function mountTmpfs(size: string): Promise<Tmpfs> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'forestay-tmpfs-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'forestay-test', mountPoint]);
  let mounted = true;
  const unmount = async () => {
    if (mounted) await run('umount', ['-l', mountPoint]);
    mounted = false;
  };
  return {
    mountPoint,
    unmount,
    remount: async (options) => void (await run('mount', ['-o', `remount,${options}`, mountPoint])),
    [Symbol.asyncDispose]: async () => {
      await unmount();
      await rm(mountPoint, { recursive: true, force: true });
    },
  };
}

/** Fills a file system up to so many bytes. */
export async function leaveRoom({ mountPoint }: Tmpfs, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(mountPoint);
  await writeFile(join(mountPoint, 'ballast'), Buffer.alloc(bavail * bsize - bytes));
}

/** What needs a tmpfs, or why it is not run. */
export function orWhyNot<Work>(work: Work): Work | { readonly notRun: string } {
  return whyNoTmpfs() === '' ? work : { notRun: 'this user may not mount a tmpfs' };
}

/** What to add to the name of a test that needs a tmpfs; empty where one can be mounted. */
export function whyNoTmpfs(): string {
  const probe = mkdtempSync(join(tmpdir(), 'forestay-probe-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'forestay-test', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe], { stdio: 'ignore' });
    return '';
  } catch {
    return ' [not run: this user may not mount a tmpfs]';
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
