import { readdir, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { count } from '../narrate.ts';

/** What people do by mistake; a sentence each. */
export async function destroySomeData(folder: string): Promise<string[]> {
  const pictures = path.join(folder, 'pictures');
  const lost = await readdir(pictures, { recursive: true });
  await rm(pictures, { recursive: true });
  const customers = path.join(folder, 'customers');
  const [first = '', second = ''] = (await readdir(customers)).sort();
  const invoices = (await readdir(path.join(customers, first))).sort();
  for (const invoice of invoices) await truncate(path.join(customers, first, invoice), 0);
  await rename(path.join(customers, second), path.join(customers, `${second} (old)`));
  const image = path.join(folder, 'large', 'disk.img');
  const { atime, mtime } = await stat(image);
  await writeFile(image, 'oops', { flag: 'r+' });
  // Size and time are the old ones: only the content tells.
  await utimes(image, atime, mtime);
  await writeFile(path.join(folder, 'READ ME TO GET YOUR FILES BACK.txt'), 'Pay 3 bitcoins.\n');
  return [
    `rm -r pictures: ${count(lost.length)} pictures and folders are gone.`,
    `A script that opened them for writing: ${count(invoices.length)} invoices of ${first} are empty.`,
    `A folder is called "${second} (old)" now.`,
    'The first four bytes of a disk image are others.',
    'And there is a file from somebody who wants money.',
  ];
}
