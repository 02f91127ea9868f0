import { InvalidArgumentError } from 'commander';

/** Arguments and options that several commands take. */
export const instanceArgument = ['<instance>', 'GUID or name'] as const;

/** The number of a backup, restore or token. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a number from 1 on.');
  return value;
}

export const keyFileOption = [
  '--key-file <file>',
  'file that holds the key (default: ask for it, or read it from stdin where that is no terminal)',
] as const;
