import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = '/sys/fs/cgroup';
/** The controller of block devices of cgroup v1 (kernel documentation, "Block IO Controller"). */
const blkio = join(root, 'blkio');

/**
 * Has this process, and all that it starts, read from the disk of a folder with at most so many bytes a second: both sides of a
 * ratio then find the disk of a usual machine instead of whatever is in this one. Disposing of it lifts the limit.
 * Throws where the limit cannot be set; needs root.
 */
export async function limitReads(folder: string, bytesPerSecond: number): Promise<AsyncDisposable> {
  const isV1 = existsSync(blkio);
  const parent = isV1 ? blkio : root;
  const group = join(parent, `forestay-bench-${process.pid}`);
  const before = join(parent, (await currentGroup(isV1)) ?? '', 'cgroup.procs');
  try {
    const device = await diskOf(folder);
    const rule = isV1
      ? { file: 'blkio.throttle.read_bps_device', text: `${device} ${bytesPerSecond}` }
      : { file: 'io.max', text: `${device} rbps=${bytesPerSecond}` };
    await mkdir(group);
    await writeFile(join(group, rule.file), rule.text);
    await writeFile(join(group, 'cgroup.procs'), `${process.pid}`);
  } catch (error) {
    await rmdir(group).catch(() => {});
    throw new Error(
      'Reads from the disk cannot be limited here: that needs root and the cgroup controller of block devices.',
      {
        cause: error,
      },
    );
  }
  return {
    async [Symbol.asyncDispose]() {
      await writeFile(before, `${process.pid}`);
      await rmdir(group);
    },
  };
}

/** Numbers of the whole disk, which limits are set for; a folder lies on it or on a partition of it. */
async function diskOf(folder: string): Promise<string> {
  const { dev } = await stat(folder);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const device = `/sys/dev/block/${major}:${minor}`;
  // It is a symbolic link: `..` is the folder above where it leads to.
  const disk = existsSync(`${device}/partition`) ? `${device}/../dev` : `${device}/dev`;
  return (await readFile(disk, 'utf8')).trim();
}

async function currentGroup(isV1: boolean): Promise<string | undefined> {
  const lines = (await readFile('/proc/self/cgroup', 'utf8')).split('\n');
  const pattern = isV1 ? /^\d+:(?:\w+,)*blkio(?:,\w+)*:(.*)$/ : /^0::(.*)$/;
  return lines.map((line) => pattern.exec(line)?.[1]).find((path) => path !== undefined);
}
