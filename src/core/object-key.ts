import { ForestayError } from './errors.ts';

/** Keys of objects in stores: what every store can take, and nothing that means something to one of them. */

/** Bytes; what S3 takes. */
const maxKeyLength = 1024;
/** Bytes; NAME_MAX of the usual file systems. */
const maxSegmentLength = 255;
/** A leading dot is refused: it covers `.`, `..`, our own temporary files and those of others (`.nfs…`). */
const segmentPattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

/** Throws `BadRequest` for a key that is not a relative path of plain segments. */
export function assertKey(key: string): void {
  if (isKey(key)) return;
  throw new ForestayError('BadRequest', `Not a key of an object: ${JSON.stringify(key.slice(0, 80))}.`, {
    hint: 'Keys are segments of letters, digits, ".", "_" and "-" joined by "/"; no segment is empty or begins with a dot.',
  });
}

/** Whether a name that was found can be an object of ours. */
export function isKey(name: string): boolean {
  return name.length <= maxKeyLength && name.split('/').every(isSegment);
}

/** Throws `BadRequest` for a prefix that no key can begin with. The empty one is every key's. */
export function assertPrefix(prefix: string): void {
  if (prefix === '') return;
  assertKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

/** Whether a folder entry can be (part of) a key. */
export function isSegment(name: string): boolean {
  return name.length <= maxSegmentLength && segmentPattern.test(name);
}
