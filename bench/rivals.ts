import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import type { Dataset } from './dataset.ts';
import { runScript, timeProgram } from './process.ts';

/** What Forestay is measured against: the same work with PostgreSQL's own programs. All resolve with seconds. */

/** The most that one stream out of pg_dump can do: `pg_dump -Fc -Z0 > /dev/null`. */
export function dumpToNowhere({ binDir, signal }: Bench, { url }: Dataset): Promise<number> {
  return timeProgram(join(binDir, 'pg_dump'), ['-Fc', '-Z0', '-d', url], { signal });
}

/** What `pg_restore` reads: the same archive as Forestay's, in a file; resolves with its size in bytes. */
export async function dumpToFile({ binDir, signal }: Bench, { url }: Dataset, file: string): Promise<number> {
  await timeProgram(join(binDir, 'pg_dump'), ['-Fc', '-Z0', '-f', file, '-d', url], { signal });
  return (await stat(file)).size;
}

/** The way of the a9s services: a script, gzip, AES-256-CBC with a key from MD5. */
export function upstreamBackup({ binDir, signal }: Bench, { url }: Dataset, file: string): Promise<number> {
  const script =
    '"$PG_DUMP" -d "$URL" | gzip | openssl enc -aes256 -md md5 -pass env:KEY > "$FILE" 2> /dev/null';
  const env = { PG_DUMP: join(binDir, 'pg_dump'), URL: url, FILE: file, KEY: 'a passphrase' };
  return runScript(script, { signal, env });
}

/** `pg_restore` from a file into a database that is there and empty. */
export function restoreFile({ binDir, signal }: Bench, url: string, file: string): Promise<number> {
  return timeProgram(join(binDir, 'pg_restore'), ['--exit-on-error', '-d', url, file], { signal });
}
