import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parse as parseDotenv } from 'dotenv';
import { ForestayError } from './core/errors.ts';
import { masterKeyBytes } from './core/sealing.ts';

/**
 * The environment -> one frozen, validated Config. The only reader of `process.env`: whatever else wants a setting is
 * handed it. Wrong or contradicting values stop the start with a sentence that says what to do.
 */
export interface Config {
  readonly dataDir: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Undefined: what the listen address says. */
  readonly publicUrl: string | undefined;
  /** Undefined: the embedded database. */
  readonly databaseUrl: string | undefined;
  readonly store: string;
  readonly secondaryStores: readonly string[];
  readonly minKeyLength: number;
  /** Tasks at once in this process. */
  readonly concurrency: number;
  readonly retention: { readonly minBackupCount: number; readonly retentionDays: number };
  /** Extra folders to look for client tools in, before the usual ones. */
  readonly toolDirs: readonly string[];
  /** Folders below which instances of the engine `files` may lie; none: that engine takes no instances. */
  readonly filesRoots: readonly string[];
  /** What the engine `command` may run; undefined: nothing. */
  readonly commandsFile: string | undefined;
  readonly logLevel: LogLevel;
}

/** Kept apart from Config, so that a config can be printed. */
export interface Secrets {
  readonly masterKey: Buffer;
  readonly adminToken: string;
  /** Where the admin token lies, undefined when it came from the environment. */
  readonly adminTokenFile: string | undefined;
}

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that libraries read from `process.env` themselves: credentials of stores, proxies. */
const readByLibraries = /^(AWS_\w+|AZURE_STORAGE_\w+|(https?|no|all)_proxy)$/i;

/**
 * `process.env` over a `.env` file in the working folder. An empty variable counts as unset. What libraries read by themselves is
 * put from the file into `process.env`, so that the file is the same for all.
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

export function readConfig(env: Environment): Config {
  refuseUnknown(env);
  const dataDir = path.resolve(env.FORESTAY_DATA_DIR ?? './forestay-data');
  return Object.freeze({
    dataDir,
    listen: listenAddress(env.FORESTAY_LISTEN ?? '127.0.0.1:3000'),
    publicUrl: publicUrl(env.FORESTAY_PUBLIC_URL),
    databaseUrl: databaseUrl(env.DATABASE_URL),
    store: env.FORESTAY_STORE ?? `file:${path.join(dataDir, 'store')}`,
    secondaryStores: list(env.FORESTAY_SECONDARY_STORES, ','),
    minKeyLength: integer(env, 'FORESTAY_MIN_KEY_LENGTH', 8, 1, 128),
    concurrency: integer(env, 'FORESTAY_CONCURRENCY', availableParallelism(), 1, 64),
    retention: {
      minBackupCount: integer(env, 'FORESTAY_MIN_BACKUP_COUNT', 5, 1, 10_000),
      retentionDays: integer(env, 'FORESTAY_RETENTION_DAYS', 30, 1, 36_500),
    },
    toolDirs: list(env.FORESTAY_TOOL_DIRS, path.delimiter),
    filesRoots: filesRoots(env.FORESTAY_FILES_ROOTS),
    commandsFile: env.FORESTAY_COMMANDS_FILE,
    logLevel: oneOf(env, 'FORESTAY_LOG_LEVEL', logLevels, 'info'),
  });
}

/** The master key and the admin token; made at first start where the environment gives none. */
export async function readSecrets(env: Environment, dataDir: string): Promise<Secrets> {
  if (env.FORESTAY_MASTER_KEY && env.FORESTAY_MASTER_KEY_FILE) {
    throw misconfigured('FORESTAY_MASTER_KEY and FORESTAY_MASTER_KEY_FILE are both set.', 'Set one of them.');
  }
  const tokenFile = path.join(dataDir, 'admin-token');
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

/** Whom the client commands talk to. */
export interface ClientConfig {
  /** Without a slash at the end. */
  readonly url: string;
  /** Undefined where none was found; `tokenMissing` then says what to do. */
  readonly token: string | undefined;
  readonly tokenMissing: string;
}

/**
 * Whom to talk to and with which token: options, then the environment, then the site of this machine. The admin token of
 * this machine's site is never sent anywhere else.
 */
export async function readClientConfig(
  env: Environment,
  options: { readonly url?: string | undefined; readonly tokenFile?: string | undefined } = {},
): Promise<ClientConfig> {
  const given = options.url ?? env.FORESTAY_URL;
  const token =
    options.tokenFile === undefined ? env.FORESTAY_TOKEN : await readSecretFile(options.tokenFile);
  if (given !== undefined) {
    return {
      url: siteUrl(given, options.url === undefined ? 'FORESTAY_URL' : '--url'),
      token,
      tokenMissing: 'Set FORESTAY_TOKEN, or name a file that holds the token with --token-file.',
    };
  }
  const { dataDir, listen } = readConfig(env);
  const tokenFile = path.join(dataDir, 'admin-token');
  const local = token ?? env.FORESTAY_ADMIN_TOKEN ?? (await readIfThere(tokenFile));
  const host =
    ({ '0.0.0.0': '127.0.0.1', '::': '::1' } as Record<string, string>)[listen.host] ?? listen.host;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listen.port}`,
    token: local,
    tokenMissing: `There is no ${tokenFile} that may be read: set FORESTAY_URL and FORESTAY_TOKEN, or start a site here with: forestay serve`,
  };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    return undefined;
  }
}

function siteUrl(text: string, name: string): string {
  const url = URL.parse(text);
  if (
    !url ||
    !/^https?:$/.test(url.protocol) ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== '' ||
    url.password !== ''
  ) {
    throw misconfigured(`${name} is not a plain http(s) URL.`, 'Example: https://forestay.example.org');
  }
  return text.replace(/\/+$/, '');
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

async function readSecretFile(file: string): Promise<string> {
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

const known = new Set([
  ...[
    'FORESTAY_DATA_DIR',
    'FORESTAY_LISTEN',
    'FORESTAY_PUBLIC_URL',
    'FORESTAY_STORE',
    'FORESTAY_SECONDARY_STORES',
  ],
  ...['FORESTAY_MASTER_KEY', 'FORESTAY_MASTER_KEY_FILE', 'FORESTAY_ADMIN_TOKEN', 'FORESTAY_MIN_KEY_LENGTH'],
  ...['FORESTAY_CONCURRENCY', 'FORESTAY_MIN_BACKUP_COUNT', 'FORESTAY_RETENTION_DAYS', 'FORESTAY_TOOL_DIRS'],
  ...['FORESTAY_FILES_ROOTS', 'FORESTAY_COMMANDS_FILE'],
  ...['FORESTAY_LOG_LEVEL', 'FORESTAY_URL', 'FORESTAY_TOKEN'],
]);

/** A misspelt setting that is silently ignored is worse than a start that fails. */
function refuseUnknown(env: Environment): void {
  const unknown = Object.keys(env).filter((name) => name.startsWith('FORESTAY_') && !known.has(name));
  if (unknown.length > 0) {
    throw misconfigured(
      `There is no setting named ${unknown.join(', ')}.`,
      'docs/operating.md lists all of them.',
    );
  }
}

function listenAddress(text: string): Config['listen'] {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw misconfigured(
      `FORESTAY_LISTEN is "${text}".`,
      'It must be host:port, for example 127.0.0.1:3000 or [::]:3000.',
    );
  }
  return { host: match[1] ?? match[2] ?? '', port };
}

function publicUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw misconfigured(
      'FORESTAY_PUBLIC_URL is not an http(s) URL.',
      'Example: https://forestay.example.org',
    );
  }
  return text.replace(/\/+$/, '');
}

function databaseUrl(text: string | undefined): string | undefined {
  // The value is not repeated: it usually holds a password.
  if (text !== undefined && !/^postgres(ql)?:$/.test(URL.parse(text)?.protocol ?? '')) {
    throw misconfigured(
      'DATABASE_URL is not a PostgreSQL URL.',
      'Example: postgresql://forestay:secret@db.example.org/forestay',
    );
  }
  return text;
}

function filesRoots(text: string | undefined): string[] {
  const roots = list(text, path.delimiter);
  const wrong = roots.find((root) => !path.isAbsolute(root) || path.normalize(root) === '/');
  if (wrong !== undefined) {
    throw misconfigured(
      `FORESTAY_FILES_ROOTS names "${wrong}".`,
      'It must name absolute paths, separated by ":", and not the root of the file system: /srv:/var/lib/shop',
    );
  }
  return roots.map((root) => path.normalize(root).replace(/\/+$/, ''));
}

function list(text: string | undefined, separator: string): string[] {
  return (text ?? '')
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function integer(env: Environment, name: string, fallback: number, min: number, max: number): number {
  const text = env[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw misconfigured(`${name} is "${text}".`, `It must be a whole number from ${min} to ${max}.`);
  }
  return value;
}

function oneOf<T extends string>(env: Environment, name: string, allowed: readonly T[], fallback: T): T {
  const text = env[name] ?? fallback;
  const value = allowed.find((candidate) => candidate === text);
  if (value === undefined)
    throw misconfigured(`${name} is "${text}".`, `It must be one of ${allowed.join(', ')}.`);
  return value;
}

function misconfigured(message: string, hint: string, cause?: unknown): ForestayError {
  return new ForestayError('Misconfigured', message, { hint, cause });
}
