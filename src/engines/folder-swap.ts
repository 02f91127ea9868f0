import { rename } from 'node:fs/promises';
import { constants } from 'node:os';
import { arch, platform } from 'node:process';
import { ForestayError } from '../core/errors.ts';
import { ChildExit, runTool } from '../pipeline/child-process.ts';
import { hasErrno } from './errno.ts';
import { exists, syncFolder } from './folder-container.ts';
import { asideIn, dataIn } from './folder-names.ts';
import type { Place } from './roots.ts';

/**
 * Exchanges the instance's folder and the one in a container. In one step where the system can: then at every moment one of
 * the two is there. Else in two, with a moment in between in which neither is; `repair` mends a crash just then.
 */
export async function swap(container: string, place: Place, perl: string): Promise<void> {
  const data = dataIn(container);
  if (!(await exists(place.path))) await movingOrSuperseded(container, () => rename(data, place.path));
  else if (!(await exchange(data, place.path, perl))) await inTwoSteps(container, place.path);
  await syncFolder(place.parent);
}

/** Whether the names of two things can be exchanged in one step; false when the system does not know how. */
export async function exchange(one: string, other: string, perl: string): Promise<boolean> {
  const call = platform === 'linux' ? exchangeCalls[arch] : undefined;
  if (call === undefined) return false;
  try {
    await runTool(perl, ['-e', exchangeScript(call), one, other], { timeoutMs: 60_000 });
    return true;
  } catch (error) {
    if (!(error instanceof ForestayError)) throw error;
    if (error.code === 'ToolMissing') return false;
    const exitCode = error.cause instanceof ChildExit ? error.cause.exitCode : null;
    if (exitCode !== null && cannotExchange.has(exitCode)) return false;
    if (exitCode === errno.ENOENT) throw superseded();
    if (exitCode === errno.EBUSY) {
      throw new ForestayError(
        'InstanceRefused',
        'The folder is held by the system (a mount point), and cannot be exchanged.',
        {
          hint: 'Register a folder within it. Nothing was changed.',
        },
      );
    }
    const [name] = Object.entries(constants.errno).find(([, number]) => number === exitCode) ?? [];
    throw name === undefined
      ? error
      : Object.assign(new Error(`The folders cannot be exchanged: ${name}`), { code: name });
  }
}

async function inTwoSteps(container: string, path: string): Promise<void> {
  await movingOrSuperseded(container, () => rename(path, asideIn(container)));
  try {
    await rename(dataIn(container), path);
  } catch (error) {
    await rename(asideIn(container), path);
    throw error;
  }
  await rename(asideIn(container), dataIn(container));
}

/** A container is gone when another attempt took the restore over: it takes the container's name away first. */
async function movingOrSuperseded(container: string, move: () => Promise<void>): Promise<void> {
  try {
    await move();
  } catch (error) {
    if (hasErrno(error, 'ENOENT') && !(await exists(dataIn(container)))) throw superseded();
    throw error;
  }
}

function superseded(): ForestayError {
  return new ForestayError(
    'AttemptSuperseded',
    'What this attempt had staged is gone: another one has taken over.',
  );
}

/** Numbers of renameat2 (Linux, since 3.15). Node has no function for it. */
const exchangeCalls: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 316, arm64: 276 };

/** renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE); exits with the error number. */
function exchangeScript(call: number): string {
  return `exit(syscall(${call}, -100, $ARGV[0], -100, $ARGV[1], 2) == 0 ? 0 : $! + 0)`;
}

const errno = { EPERM: 1, ENOENT: 2, EBUSY: 16, EINVAL: 22, ENOSYS: 38, EOPNOTSUPP: 95 } as const;
/** EPERM: some sandboxes forbid system calls they do not know with it; if the right is lacking, rename says so too. */
const cannotExchange = new Set<number>([errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP]);
