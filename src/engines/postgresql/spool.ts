import { createWriteStream } from 'node:fs';
import { lstat, readdir, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ForestayError } from '../../core/errors.ts';
import { ChildExit, runSink } from '../../pipeline/child-process.ts';
import type { ArchiveFormat } from './details.ts';
import { checkDirectoryArchive } from './directory-archive.ts';
import { makePrivateFolder, type PrivateFolder, sweepPrivateFolders } from './private-folder.ts';

/**
 * Where several jobs write or read one archive at once, it must lie in files: the only temp files there are. They are not
 * encrypted, only this user may look at them, and they are removed however the work ends.
 */
export interface Spool extends PrivateFolder {
  /** The archive in it, for `--file` of pg_dump and for pg_restore. */
  readonly archive: string;
}

/** Throws `Misconfigured` where there is less room than so many bytes. */
export async function makeSpool(neededBytes: number): Promise<Spool> {
  // First, because what a killed process left may take the room.
  await sweepPrivateFolders();
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < neededBytes) {
    throw noRoom(`it has ${megabytes(bavail * bsize)} MB free, ${megabytes(neededBytes)} MB are needed`);
  }
  const folder = await makePrivateFolder('spool');
  return { ...folder, archive: join(folder.path, archiveName) };
}

/** The name of the archive in its spool, and so in the tar stream of one that is a folder. */
export const archiveName = 'dump';

/** Writes the whole of a backup into a spool, checked as far as can be without a server. */
export async function spoolBackup(
  bytes: Readable,
  {
    format,
    archiveBytes = 0,
  }: { readonly format: ArchiveFormat; readonly archiveBytes?: number | undefined },
  signal: AbortSignal,
): Promise<Spool> {
  const spool = await makeSpool(archiveBytes);
  try {
    if (format === 'custom')
      await pipeline(bytes, createWriteStream(spool.archive, { mode: 0o600 }), { signal });
    else {
      const args = [
        '--extract',
        '--file=-',
        '--no-same-owner',
        '--no-same-permissions',
        `--directory=${spool.path}`,
      ];
      const { input } = runSink('tar', args, { signal, unreadInput: 'discard' });
      await pipeline(bytes, input, { signal });
      await checkDirectoryArchive(spool.archive);
    }
    return spool;
  } catch (error) {
    await spool.remove();
    throw roomLacking(error) ?? error;
  }
}

/** The sum of what is in a folder of files, in bytes; 0 where it is not there yet. */
export async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  let sum = 0;
  for (const name of names) sum += (await lstat(join(folder, name)).catch(() => undefined))?.size ?? 0;
  return sum;
}

/** What an error means that says that the spool is full; undefined for all others, those of a server with a full disk included. */
export function roomLacking(error: unknown): ForestayError | undefined {
  const isOwn = (error as { code?: unknown } | null)?.code === 'ENOSPC';
  const exit = error instanceof ForestayError && error.cause instanceof ChildExit ? error.cause.stderr : '';
  const isOfTool = /No space left on device/.test(exit) && !/ERROR: /.test(exit);
  return isOwn || isOfTool ? noRoom('it is full') : undefined;
}

function noRoom(why: string): ForestayError {
  return new ForestayError(
    'Misconfigured',
    `The temp folder of the worker cannot take the archive that parallel jobs need: ${why}.`,
    {
      hint: 'Point TMPDIR of the worker to a folder with more room, or take "parallel" out of the connection.',
    },
  );
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000);
}
