import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Environment } from './config/environment.ts';
import { integer, list, misconfigured, oneOf } from './config/values.ts';

/**
 * The environment -> one frozen, validated Config. Whatever else wants a setting is handed it. Wrong or contradicting values
 * stop the start with a sentence that says what to do.
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
  /** Folders below which instances that are files or folders may lie; none: engines of such take no instances. */
  readonly filesRoots: readonly string[];
  /** What the engine `command` may run; undefined: nothing. */
  readonly commandsFile: string | undefined;
  readonly logLevel: LogLevel;
}

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Throws `Misconfigured`. */
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
