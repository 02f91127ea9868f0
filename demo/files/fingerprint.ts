import { spawn } from 'node:child_process';
import { buffer } from 'node:stream/consumers';
import type { Fingerprint } from '../dataset.ts';
import { count } from '../narrate.ts';
import { ended } from '../open-download.ts';

/**
 * Type, mode, owner, time of change, size, links, target and content of everything, as find and sha256sum see it. Times are
 * those of contents; whether a file has holes is a fact, too, and how large a folder itself is, is none.
 */
export async function fingerprint(folder: string): Promise<Fingerprint> {
  const facts = new Map<string, string>();
  const numbers = { files: 0, folders: 0, links: 0 };
  for (const record of await records(listing, folder)) {
    const [what = '', target = '', name = ''] = record.split('\x01');
    const [type = '', mode, owner, group, changed, names, size, onDisk] = what.split(' ');
    const isFile = type === 'f';
    if (isFile) numbers.files += 1;
    else if (type === 'd') numbers.folders += 1;
    else numbers.links += 1;
    const words = [`mode ${mode}`, `owner ${owner}:${group}`, `changed at ${changed}`, `${names} names`];
    if (isFile) words.push(`${size} bytes`);
    if (isFile && Number(onDisk) < 0.5) words.push('with holes');
    if (target !== '') words.push(`to ${shown(target)}`);
    facts.set(`${kinds[type] ?? type} ${shown(name)}`, words.join(', '));
  }
  for (const record of await records(digests, folder)) {
    facts.set(`the content of ${shown(record.slice(66))}`, record.slice(0, 64));
  }
  const { files, folders, links } = numbers;
  return {
    facts,
    summary: `${count(files)} files, ${count(folders)} folders, ${count(links)} links: contents, names, owners, modes, times, holes`,
  };
}

const kinds: Readonly<Record<string, string>> = { f: 'file', d: 'folder', l: 'link' };

/** Mode, owner, group, time, number of names, size, share of the size that is on the disk; target; name. */
const listing = String.raw`find . -printf '%y %m %U %G %T@ %n %s %S\001%l\001%p\0'`;
const digests = 'find . -type f -print0 | xargs -0 -r sha256sum --zero --';

async function records(script: string, folder: string): Promise<string[]> {
  const child = spawn('bash', ['-o', 'pipefail', '-c', `cd "$1" && ${script}`, 'bash', folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
  });
  const [bytes] = await Promise.all([buffer(child.stdout), ended('find', child)]);
  // Byte by byte: names need not be UTF-8.
  return bytes.toString('latin1').split('\0').slice(0, -1);
}

/** For people; names that differ stay different. */
function shown(name: string): string {
  const bytes = Buffer.from(name, 'latin1');
  const text = bytes.toString('utf8');
  return JSON.stringify(Buffer.from(text).equals(bytes) ? text : `${name} (latin1)`);
}
