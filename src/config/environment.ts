import { readFile } from 'node:fs/promises';
import { parse as parseDotenv } from 'dotenv';
import { ForestayError } from '../core/errors.ts';

/** Variables by their names; none is empty. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that libraries read from `process.env` themselves: credentials of stores, proxies. */
const readByLibraries = /^(AWS_\w+|AZURE_STORAGE_\w+|(https?|no|all)_proxy)$/i;

/**
 * The settings: `process.env` over a `.env` file in the working folder. An empty variable counts as unset. What libraries
 * read by themselves is put from the file into `process.env`, so that the file is the same for all.
 */
export async function readEnvironment(): Promise<Environment> {
  const file = await readFile('.env', 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new ForestayError('Misconfigured', 'The file .env cannot be read.', { cause: error });
  });
  const inFile = parseDotenv(file);
  for (const [name, value] of Object.entries(inFile)) {
    if (readByLibraries.test(name)) process.env[name] ??= value;
  }
  const merged = { ...inFile, ...process.env };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== ''));
}
