import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { DemoFailed } from './demo-failed.ts';

/** What the guide of the a9s services tells users to type; the demo has the key in a file instead, where `ps` shows none. */
export const guideCommand =
  "openssl enc -aes256 -md md5 -d -pass 'pass:<your key>' -in backup.gz.enc | gunzip > backup";

/** Opens a download with `openssl` and `gunzip` alone. Resolves with the bytes of the opened file. */
export async function openDownload(
  files: { readonly download: string; readonly keyFile: string; readonly opened: string },
  signal: AbortSignal,
): Promise<number> {
  const openssl = spawn(
    'openssl',
    ['enc', '-aes256', '-md', 'md5', '-d', '-pass', `file:${files.keyFile}`, '-in', files.download],
    { stdio: ['ignore', 'pipe', 'pipe'], signal },
  );
  const gunzip = spawn('gunzip', [], { stdio: ['pipe', 'pipe', 'pipe'], signal });
  await Promise.all([
    ended('openssl', openssl),
    ended('gunzip', gunzip),
    pipeline(openssl.stdout, gunzip.stdin, { signal }),
    pipeline(gunzip.stdout, createWriteStream(files.opened, { mode: 0o600 }), { signal }),
  ]);
  return (await stat(files.opened)).size;
}

/** Resolves when a program ended with 0; throws `DemoFailed` with its own words when not. */
export async function ended(
  name: string,
  child: ReturnType<typeof spawn> & { readonly stderr: NodeJS.ReadableStream },
): Promise<void> {
  const [words, [code, killedBy]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  if (code !== 0)
    throw new DemoFailed(`${name} ended with ${code ?? killedBy}.`, words.trim().split('\n').slice(-3));
}
