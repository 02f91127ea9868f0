import { lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

/** What lies in a folder of ours: material for TLS, or the archive of a backup. */
const kinds = ['tls', 'spool'] as const;
type Kind = (typeof kinds)[number];

export interface PrivateFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * A temp folder that only this user may look into; `remove` it. Its name says which process made it, so that what a killed one left
 * behind is removed by the next process that makes one, or calls `sweepPrivateFolders`.
 */
export async function makePrivateFolder(kind: Kind): Promise<PrivateFolder> {
  await sweepPrivateFolders();
  // mkdtemp gives the folder the mode 0700.
  const path = await mkdtemp(
    `${join(tmpdir(), `forestay-${kind}`)}.${machine()}.${await lifeOf(process.pid)}.`,
  );
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Removes the folders of processes of this machine that are no more. What cannot be removed is left to a later call. */
export async function sweepPrivateFolders(): Promise<void> {
  const folder = tmpdir();
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const [, host, life] = namePattern.exec(name) ?? [];
    if (host !== machine() || life === undefined) continue;
    const path = join(folder, name);
    if (!(await isLeft(path, life))) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

const namePattern = new RegExp(`^forestay-(?:${kinds.join('|')})\\.([^.]*)\\.(\\d+-\\d+)\\.[^.]+$`);

async function isLeft(path: string, life: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  // The temp folder is everybody's: what another user made is none of ours, whatever its name.
  if (!found?.isDirectory() || found.uid !== process.getuid?.()) return false;
  return (await lifeOf(Number.parseInt(life, 10))) !== life;
}

/** A temp folder may be shared by containers, whose process ids mean nothing to each other. */
function machine(): string {
  return hostname().replaceAll(/[^A-Za-z0-9-]/g, '-');
}

/**
 * The process id and when it started, which together are never given twice; undefined when it does not run (any more). Source:
 * proc(5), field 22 of /proc/<pid>/stat; the name in the second field may hold anything. Elsewhere the id alone must do.
 */
async function lifeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (stat !== undefined) return `${pid}-${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  if (process.platform === 'linux') return undefined;
  try {
    process.kill(pid, 0);
    return `${pid}-0`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? `${pid}-0` : undefined;
  }
}
