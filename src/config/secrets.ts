import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { masterKeyBytes } from '../core/sealing.ts';
import type { Environment } from './environment.ts';
import { misconfigured } from './values.ts';

/** Kept apart from Config, so that a config can be printed. */
export interface Secrets {
  readonly masterKey: Buffer;
  readonly adminToken: string;
  /** Where the admin token lies, undefined when it came from the environment. */
  readonly adminTokenFile: string | undefined;
}

/** The master key and the admin token; made at first start where the environment gives none. */
export async function readSecrets(env: Environment, dataDir: string): Promise<Secrets> {
  if (env.FORESTAY_MASTER_KEY && env.FORESTAY_MASTER_KEY_FILE) {
    throw misconfigured('FORESTAY_MASTER_KEY and FORESTAY_MASTER_KEY_FILE are both set.', 'Set one of them.');
  }
  const tokenFile = adminTokenFile(dataDir);
  const adminToken = env.FORESTAY_ADMIN_TOKEN ?? (await readOrMake(tokenFile, newAdminToken));
  if (adminToken.length < 16) {
    throw misconfigured(
      'The admin token is shorter than 16 characters.',
      'Make one with: openssl rand -hex 32',
    );
  }
  return {
    masterKey: await masterKey(env, dataDir),
    adminToken,
    adminTokenFile: env.FORESTAY_ADMIN_TOKEN === undefined ? tokenFile : undefined,
  };
}

/** Where the admin token of a site lies that was given none. */
export function adminTokenFile(dataDir: string): string {
  return path.join(dataDir, 'admin-token');
}

const newAdminToken = () => `forestay-admin-${randomBytes(32).toString('base64url')}`;

async function masterKey(env: Environment, dataDir: string): Promise<Buffer> {
  const text =
    env.FORESTAY_MASTER_KEY ??
    (env.FORESTAY_MASTER_KEY_FILE === undefined
      ? await readOrMake(path.join(dataDir, 'master.key'), () =>
          randomBytes(masterKeyBytes).toString('base64'),
        )
      : await readSecretFile(env.FORESTAY_MASTER_KEY_FILE));
  const key = Buffer.from(text, 'base64');
  if (
    key.length !== masterKeyBytes ||
    key.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')
  ) {
    throw misconfigured(
      'The master key is not 32 bytes in base64.',
      'Make one with: openssl rand -base64 32',
    );
  }
  return key;
}

/** What the file holds; throws `Misconfigured` where it cannot be read. */
export async function readSecretFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (cause) {
    throw misconfigured(`The file ${file} cannot be read.`, 'Check the path and who may read it.', cause);
  }
}

/** Two processes may start at once: both end up with the file of the one that was first. */
async function readOrMake(file: string, make: () => string): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await chmod(path.dirname(file), 0o700);
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, `${make()}\n`, { mode: 0o600, flush: true });
  try {
    await link(temporary, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  return readSecretFile(file);
}
