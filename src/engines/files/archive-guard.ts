import type { Transform } from 'node:stream';
import { ForestayError } from '../../core/errors.ts';
import { mapBytes } from '../../pipeline/join-streams.ts';

/**
 * Reads along while an archive goes by, and stops it before tar sees anything that a backup of ours cannot hold: names that
 * lead out of the folder, device nodes, kinds of members we never write, an end that comes too early (tar takes the end of
 * its input between two members for a good one).
 * The format: POSIX.1-2024 pax, "pax Interchange Format"; sparse files as GNU tar's manual, "Storing Sparse Files".
 */
export interface ArchiveGuard {
  readonly stage: Transform;
  /** How many members went by, the folder itself included. */
  members(): number;
}

export function guardArchive(): ArchiveGuard {
  const reader = makeReader();
  return { stage: mapBytes(reader.read, reader.end), members: reader.members };
}

const blockSize = 512;
/** More than any name, link and extended attributes that Linux lets a file have (64 KiB each, a few of them). */
const maxExtended = 8 * 1024 * 1024;
/** Bytes of a path that Linux takes (PATH_MAX without the zero). What is deeper can be read step by step, but tar makes it by its path. */
const longestName = 4095;
/** The same without the `./` that each of our members begins with. */
export const longestPath = longestName - 2;

type Expecting =
  | { readonly what: 'header' }
  | { readonly what: 'extended'; readonly parts: Buffer[]; left: number; readonly padding: number }
  | { readonly what: 'skip'; left: number }
  | { readonly what: 'zeros' };

function makeReader() {
  let expecting: Expecting = { what: 'header' };
  let header: Buffer = Buffer.alloc(0);
  let extended: ReadonlyMap<string, string> = new Map();
  let zeroBlocks = 0;
  let members = 0;

  const takeHeader = (block: Buffer): void => {
    if (isZero(block)) {
      zeroBlocks += 1;
      if (zeroBlocks === 2) expecting = { what: 'zeros' };
      return;
    }
    if (zeroBlocks > 0) refuse('it goes on after its end');
    checkSum(block);
    const type = String.fromCharCode(block[156] ?? 0);
    if (type === 'x') {
      const size = numberOf(block, 124, 12);
      if (size > maxExtended) refuse('names and extended attributes of a file in it take more than 8 MiB');
      if (extended.size > 0) refuse('it has an extended header of a kind we never write');
      expecting = { what: 'extended', parts: [], left: size, padding: padding(size) };
      return;
    }
    members += 1;
    const size = takeMember(block, type, extended, members === 1);
    extended = new Map();
    const left = size + padding(size);
    expecting = left === 0 ? { what: 'header' } : { what: 'skip', left };
  };

  const step = (bytes: Buffer): number => {
    switch (expecting.what) {
      case 'header': {
        const taken = bytes.subarray(0, blockSize - header.length);
        header = header.length === 0 ? taken : Buffer.concat([header, taken]);
        if (header.length < blockSize) {
          header = Buffer.from(header);
          return taken.length;
        }
        const block = header;
        header = Buffer.alloc(0);
        takeHeader(block);
        return taken.length;
      }
      case 'extended': {
        const taken = bytes.subarray(0, expecting.left);
        expecting.parts.push(Buffer.from(taken));
        expecting.left -= taken.length;
        if (expecting.left === 0) {
          extended = parseExtended(Buffer.concat(expecting.parts));
          expecting =
            expecting.padding === 0 ? { what: 'header' } : { what: 'skip', left: expecting.padding };
        }
        return taken.length;
      }
      case 'skip': {
        const skipped = Math.min(bytes.length, expecting.left);
        expecting.left -= skipped;
        if (expecting.left === 0) expecting = { what: 'header' };
        return skipped;
      }
      case 'zeros':
        if (!isZero(bytes)) refuse('it goes on after its end');
        return bytes.length;
    }
  };

  return {
    read(bytes: Buffer): Buffer {
      for (let at = 0; at < bytes.length; ) at += step(bytes.subarray(at));
      return bytes;
    },
    end(): undefined {
      if (expecting.what !== 'zeros') refuse('it ends too early');
    },
    members: () => members,
  };
}

/** The types of members a folder can have: file, hard link, symbolic link, folder, named pipe. */
const memberTypes = new Set(['0', '\0', '1', '2', '5', '6']);

/** Checks one member; returns how many bytes of content follow its header. */
function takeMember(
  block: Buffer,
  type: string,
  extended: ReadonlyMap<string, string>,
  isFirst: boolean,
): number {
  if (!memberTypes.has(type))
    refuse(`it has a member of type ${JSON.stringify(type)}, which is not restored`);
  // What an extended header says replaces the name in the header, which may be cut at any place, ".." included.
  const long = [extended.get('GNU.sparse.name'), extended.get('path')].filter((name) => name !== undefined);
  const names = long.length > 0 ? long : [nameInHeader(block)];
  const isFolderItself = names.some((name) => name.split('/').every((part) => part === '' || part === '.'));
  if (isFirst && !(isFolderItself && type === '5')) refuse('it does not begin with the folder itself');
  if (!isFirst && isFolderItself) refuse('it holds the folder itself twice');
  for (const name of names) assertInside(name);
  if (type === '1') assertInside(extended.get('linkpath') ?? textOf(block, 157, 100));
  const size = extended.has('size') ? Number(extended.get('size')) : numberOf(block, 124, 12);
  if (!Number.isSafeInteger(size) || size < 0) refuse('a size in it is no number');
  if (type !== '0' && type !== '\0' && size !== 0) refuse('a member without content has some');
  return size;
}

function assertInside(name: string): void {
  if (name === '' || name.startsWith('/') || name.includes('\0') || name.split('/').includes('..')) {
    refuse(`it has a member whose name leads out of the folder: ${JSON.stringify(name.slice(0, 200))}`);
  }
  if (name.length > longestName)
    refuse(`it has a path too long to be made: ${JSON.stringify(name.slice(0, 200))} …`);
}

function nameInHeader(block: Buffer): string {
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? textOf(block, 345, 155) : '';
  return (prefix === '' ? '' : `${prefix}/`) + textOf(block, 0, 100);
}

/** `<length> <key>=<value>\n`, the length counting the whole record in bytes. */
function parseExtended(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = bytes.toString('latin1', at, space === -1 ? at : space);
    const end = at + Number(digits);
    const record = bytes.toString('latin1', space + 1, end);
    const equals = record.indexOf('=');
    if (!/^[1-9]\d{0,8}$/.test(digits) || end > bytes.length || equals < 1 || !record.endsWith('\n')) {
      refuse('an extended header in it is not readable');
    }
    const key = record.slice(0, equals);
    if (records.has(key) && !key.startsWith('GNU.sparse.')) refuse(`an extended header says ${key} twice`);
    if (key === 'GNU.sparse.name' && records.has(key)) refuse('an extended header names a member twice');
    records.set(key, record.slice(equals + 1, -1));
    at = end;
  }
  return records;
}

/** Octal text or, for large numbers, base 256 with the highest bit set. */
function numberOf(block: Buffer, start: number, length: number): number {
  const field = block.subarray(start, start + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const value = field.reduce((sum, byte, index) => sum * 256 + (index === 0 ? byte & 0x7f : byte), 0);
    return Number.isSafeInteger(value) ? value : refuse('a size in it is too large');
  }
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart();
  return /^[0-7]*$/.test(text) ? Number.parseInt(text || '0', 8) : refuse('a number in it is not readable');
}

function textOf(block: Buffer, start: number, length: number): string {
  const field = block.toString('latin1', start, start + length);
  const end = field.indexOf('\0');
  return end === -1 ? field : field.slice(0, end);
}

function checkSum(block: Buffer): void {
  let sum = 0;
  for (let at = 0; at < blockSize; at++) sum += at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
  if (sum !== numberOf(block, 148, 8)) refuse('a header in it is not one');
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

const zeros = Buffer.alloc(64 * 1024);
function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += zeros.length) {
    const piece = bytes.subarray(at, at + zeros.length);
    if (!piece.equals(zeros.subarray(0, piece.length))) return false;
  }
  return true;
}

function refuse(why: string): never {
  throw new ForestayError(
    'IncompatibleBackup',
    `The backup is not an archive this engine restores: ${why}.`,
    {
      hint: 'Use another backup. Nothing was changed.',
    },
  );
}
