import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { bodyOf, broken, type Download } from './download.ts';
import { CliError } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { note } from './output.ts';
import { publish } from './save-file.ts';

/**
 * Fetches the stored form of a backup. What has arrived stays under `<file>.part` when the connection breaks, and the next
 * attempt goes on from there. The file gets its name once its size and SHA-256 are those of the backup.
 */
export async function resumeDownload(
  download: Download,
  file: string,
  { force, quiet }: { force: boolean; quiet: boolean },
): Promise<{ size: number }> {
  const { backup, signal } = download;
  const partial = `${file}.part`;
  const hash = createHash('sha256');
  let have = await sizeOf(partial);
  // More than there may be is not the beginning of this backup.
  if (have > backup.size) {
    await rm(partial);
    have = 0;
  }
  if (have < backup.size || have === 0) {
    const response = await request(download, have);
    const resumes = response.status === 206;
    if (resumes && !quiet) note(`Going on from byte ${have} of ${backup.size}.`);
    // What is there is hashed before anything is added to it.
    if (resumes) await hashFile(partial, hash, signal);
    const sink = createWriteStream(partial, { flags: resumes ? 'a' : 'w', mode: 0o600, flush: true });
    await pipeline(bodyOf(response), hashing(hash), sink, { signal }).catch((error: unknown) => {
      throw broken(error, signal, `What arrived is in ${partial}: the same command goes on from there.`);
    });
  } else {
    await hashFile(partial, hash, signal);
  }
  const size = await sizeOf(partial);
  if (size !== backup.size || hash.digest('hex') !== backup.sha256) {
    await rm(partial);
    throw new CliError(
      'BackupDamaged',
      exitCodes.failed,
      'What arrived is not the backup: its SHA-256 differs.',
      {
        hint: 'It was removed. Run the same command again; it starts from the beginning.',
      },
    );
  }
  await publish(partial, file, force);
  return { size };
}

async function request({ client, url, backup }: Download, from: number): Promise<Response> {
  if (backup.sha256 === null) {
    throw new CliError(
      'BackupNotDownloadable',
      exitCodes.conflict,
      `Backup ${backup.id} is ${backup.status}; only one that is done can be downloaded.`,
    );
  }
  if (from === 0) return client.open(url, {});
  const response = await client.open(url, { range: `bytes=${from}-`, 'if-range': `"${backup.sha256}"` });
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (response.status !== 206 || start === String(from)) return response;
  await response.body?.cancel();
  throw new CliError(
    'BadAnswer',
    exitCodes.failed,
    'The site sent another part of the backup than it was asked for.',
  );
}

async function hashFile(file: string, hash: Hash, signal: AbortSignal): Promise<void> {
  for await (const piece of createReadStream(file, { signal })) hash.update(piece as Buffer);
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(piece: Buffer, _encoding, done) {
      hash.update(piece);
      done(null, piece);
    },
  });
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
