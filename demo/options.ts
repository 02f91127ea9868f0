import { parseArgs } from 'node:util';
import type { DataSize } from './dataset.ts';

export interface Options {
  /** Leave the sites running for a look around. */
  readonly keep: boolean;
  readonly size: DataSize;
}

export const usage = `usage: npm run demo [-- --keep] [-- --size small]

  --keep         when the story is told, leave the sites running for a look around, until Ctrl-C
  --size small   about 20 MB of data instead of 200 MB
  --help         this text
`;

/** Undefined when help is wanted. Throws a TypeError that says what is wrong. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: { keep: { type: 'boolean' }, size: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return undefined;
  const { size = 'full', keep = false } = values;
  if (size !== 'full' && size !== 'small') throw new TypeError('--size is either full or small.');
  return { keep, size };
}
