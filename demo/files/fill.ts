import { createCipheriv } from 'node:crypto';
import { chmod, link, mkdir, open, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DataSize, FillStep } from '../dataset.ts';

interface Amounts {
  /** Of pictures, 24 to 96 KiB each. */
  readonly pictures: number;
  readonly notes: number;
  readonly filmBytes: number;
}

/** `full` takes about 200 MB on the disk. */
const amounts: Readonly<Record<DataSize, Amounts>> = {
  full: { pictures: 2200, notes: 4000, filmBytes: 45e6 },
  small: { pictures: 160, notes: 300, filmBytes: 7e6 },
};

/** What people upload in a year, and what breaks careless copies: names, links, holes, modes, times. Always the same. */
export async function fill(
  folder: string,
  size: DataSize,
  onStep: (step: FillStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const { pictures, notes, filmBytes } = amounts[size];
  const steps: readonly (readonly [title: string, work: () => Promise<void>])[] = [
    ['pictures, in a folder for each month', () => makePictures(folder, pictures, signal)],
    ['notes and invoices', () => makeNotes(folder, notes, signal)],
    ['a film, and a disk image that is mostly a hole', () => makeLargeFiles(folder, filmBytes)],
    ['names that nobody expects', () => makeOddNames(folder)],
    ['links, modes and old dates', () => makeOddThings(folder)],
  ];
  for (const [done, [title, work]] of steps.entries()) {
    signal.throwIfAborted();
    onStep({ done, total: steps.length, title });
    await work();
  }
}

const dayMs = 24 * 60 * 60 * 1000;
const newYear = Date.parse('2024-01-01T08:00:00Z');
const dayOf = (index: number) => new Date(newYear + (index % 365) * dayMs + (index % 1000) * 1234.567);

async function makePictures(folder: string, count: number, signal: AbortSignal): Promise<void> {
  const random = randomStream(1);
  for (let index = 0; index < count; index++) {
    signal.throwIfAborted();
    const day = dayOf(index * 7);
    const month = path.join(folder, 'pictures', `${day.getUTCFullYear()}`, `${day.getUTCMonth() + 1}`);
    await mkdir(month, { recursive: true });
    const file = path.join(month, `IMG_${1000 + index}.jpg`);
    await writeFile(file, random((24 + (index % 7) * 12) * 1024));
    await utimes(file, day, day);
  }
}

async function makeNotes(folder: string, count: number, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < count; index++) {
    signal.throwIfAborted();
    const customer = path.join(folder, 'customers', `customer-${String(index % 40).padStart(3, '0')}`);
    await mkdir(customer, { recursive: true });
    const lines = Array.from(
      { length: 20 + (index % 60) },
      (_, line) => `${line + 1}. article ${(index * 31 + line * 17) % 997}, ${(index + line) % 12} pieces\n`,
    );
    const file = path.join(customer, `invoice-${index}.txt`);
    await writeFile(file, lines.join(''), { mode: 0o640 });
    await utimes(file, dayOf(index), dayOf(index));
  }
}

async function makeLargeFiles(folder: string, filmBytes: number): Promise<void> {
  const large = path.join(folder, 'large');
  await mkdir(large);
  const random = randomStream(2);
  const film = await open(path.join(large, 'film.mp4'), 'wx');
  try {
    for (let left = filmBytes; left > 0; left -= 1e6) await film.writeFile(random(Math.min(left, 1e6)));
  } finally {
    await film.close();
  }
  const image = path.join(large, 'disk.img');
  await writeFile(image, random(64 * 1024));
  await truncate(image, 128 * 1024 * 1024);
  await utimes(image, dayOf(5), dayOf(5));
}

async function makeOddNames(folder: string): Promise<void> {
  const odd = path.join(folder, 'odd names');
  await mkdir(odd);
  const names = ['-rf', ' ', 'a\nb', '"', "it's", '$(id)', '*', '\\', 'über uns.pdf', '🦫', 'x'.repeat(255)];
  for (const name of names) await writeFile(path.join(odd, name), `I am called ${name}\n`);
  await writeFile(Buffer.concat([Buffer.from(`${odd}/`), Buffer.from([0xff, 0xfe])]), 'no UTF-8\n');
  const deep = path.join(odd, ...Array.from({ length: 12 }, () => 'a folder in a folder '.repeat(4).trim()));
  await mkdir(deep, { recursive: true });
  await writeFile(path.join(deep, 'at the bottom'), 'here\n');
}

async function makeOddThings(folder: string): Promise<void> {
  const odd = path.join(folder, 'odd things');
  await mkdir(path.join(odd, 'an empty folder'), { recursive: true });
  await writeFile(path.join(odd, 'one file'), 'of two names\n');
  await link(path.join(odd, 'one file'), path.join(odd, 'its other name'));
  await symlink('one file', path.join(odd, 'a link'));
  await symlink('/nowhere/at/all', path.join(odd, 'a link to nothing'));
  const modes = { 'only mine': 0o600, 'nobody may write': 0o444, 'run me': 0o755, 'as its owner': 0o4755 };
  for (const [name, mode] of Object.entries(modes)) {
    await writeFile(path.join(odd, name), '#!/bin/sh\n');
    await chmod(path.join(odd, name), mode);
  }
  await mkdir(path.join(odd, 'for all'));
  await chmod(path.join(odd, 'for all'), 0o1777);
  const moon = new Date('1969-07-20T20:17:40.123Z');
  await utimes(path.join(odd, 'only mine'), moon, moon);
}

/** Bytes that look random and are the same every time. */
function randomStream(seed: number): (bytes: number) => Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16));
  return (bytes) => cipher.update(Buffer.alloc(bytes));
}
