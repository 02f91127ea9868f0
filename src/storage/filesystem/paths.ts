import { join } from 'node:path';

export function pathOf(root: string, key: string): string {
  return join(root, key);
}

/** The folders a key lies in, outermost first, without the root. */
export function foldersOf(root: string, key: string): string[] {
  const segments = key.split('/').slice(0, -1);
  return segments.map((_, index) => join(root, ...segments.slice(0, index + 1)));
}
