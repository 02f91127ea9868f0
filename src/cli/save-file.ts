import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { access, link, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { usageError } from './errors.ts';

export interface SaveOptions {
  /** Replace a file that is there. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/**
 * Writes a stream to a file: wholly, or not at all. Until everything is there and on disk it has a temporary name, and
 * when the stream fails or the signal aborts nothing remains. The file is readable by its owner only.
 */
export async function saveFile(
  file: string,
  source: Readable,
  options: SaveOptions,
): Promise<{ size: number }> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.part`;
  try {
    const sink = createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true });
    await pipeline(source, sink, { signal: options.signal });
    await publish(temporary, file, options.force);
    return { size: sink.bytesWritten };
  } finally {
    source.destroy();
    await rm(temporary, { force: true });
  }
}

/** Gives a file that is whole and synced its name, and makes that durable. Refuses to replace one unless forced. */
export async function publish(temporary: string, file: string, force: boolean): Promise<void> {
  if (force) await rename(temporary, file);
  else await renameIfAbsent(temporary, file);
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Before long work: better now than at its end. */
export async function refuseExisting(file: string, force: boolean): Promise<void> {
  const exists = await access(file).then(
    () => true,
    () => false,
  );
  if (exists && !force) throw alreadyThere(file);
}

/** What a download is called once it is open: its name without what compression and encryption added to it. */
export function nameOfPlain(file: string): string {
  const name = path.basename(file);
  const plain = name.replace(/(\.(gz|zst))?\.enc$/, '');
  return plain === name || plain === '' ? `${name}.plain` : plain;
}

/** Writes to stdout, which may be a pipe but no terminal. */
export async function writeToStdout(source: Readable, signal: AbortSignal): Promise<void> {
  try {
    await pipeline(source, process.stdout, { signal, end: false });
  } finally {
    source.destroy();
  }
}

export function refuseTerminal(): void {
  if (process.stdout.isTTY)
    throw usageError(
      'A terminal cannot show a backup.',
      'Name a file with --output, or pipe stdout somewhere.',
    );
}

async function renameIfAbsent(temporary: string, file: string): Promise<void> {
  try {
    await link(temporary, file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw alreadyThere(file);
    // Not every file system has hard links.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error;
    await refuseExisting(file, false);
    await rename(temporary, file);
    return;
  }
  await rm(temporary);
}

function alreadyThere(file: string) {
  return usageError(
    `The file ${file} is there already.`,
    'Choose another one with --output, or replace it with --force.',
  );
}
