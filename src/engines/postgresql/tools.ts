import { access, constants, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ForestayError } from '../../core/errors.ts';
import { runTool } from '../../pipeline/child-process.ts';
import type { ToolReport } from '../engine.ts';

/** The client programs of one PostgreSQL version, all in one folder. */
export interface Toolset {
  /** `15.18` */
  readonly version: string;
  readonly major: number;
  readonly folder: string;
}

const names = ['pg_dump', 'pg_restore', 'psql'] as const;
export type ToolName = (typeof names)[number];

/** Where distributions put them; `*` stands for any name. */
export const usualFolders: readonly string[] = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/pgsql/bin',
  '/usr/local/bin',
  '/usr/bin',
];

export function toolPath(tools: Toolset, name: ToolName): string {
  return join(tools.folder, name);
}

/** Every complete set in the folders, newest first. A program is believed only as far as its siblings agree with it. */
export async function findToolsets(folders: readonly string[], signal: AbortSignal): Promise<Toolset[]> {
  const found: Toolset[] = [];
  for (const folder of await existingFolders(folders)) {
    const versions = await Promise.all(names.map((name) => versionOf(name, join(folder, name), signal)));
    const [version] = versions;
    if (version === undefined || versions.some((other) => other !== version)) continue;
    found.push({ version, major: majorOf(version), folder });
  }
  return found.toSorted((a, b) => compareVersions(b.version, a.version));
}

/**
 * For a backup: pg_dump must not be older than the server. The version of the server itself is taken before a newer one,
 * because what a newer pg_dump writes need not be understood by this server again.
 */
export function toolsToDump(toolsets: readonly Toolset[], serverMajor: number): Toolset {
  return (
    closest(toolsets, serverMajor) ?? missing(toolsets, serverMajor, `the server has version ${serverMajor}`)
  );
}

/** For a restore: pg_restore must be neither older than the pg_dump that wrote, nor (better) than the server it writes to. */
export function toolsToRestore(
  toolsets: readonly Toolset[],
  serverMajor: number,
  dumpMajor: number,
): Toolset {
  const needed = Math.max(serverMajor, dumpMajor);
  const why = `the server has version ${serverMajor}, the backup was made with pg_dump ${dumpMajor}`;
  return closest(toolsets, needed) ?? closest(toolsets, dumpMajor) ?? missing(toolsets, needed, why);
}

/** What `tools` of the port answers. */
export function reportTools(toolsets: readonly Toolset[]): ToolReport[] {
  return names.map((name) => ({
    tool: name,
    found: toolsets.map((tools) => ({ version: tools.version, path: toolPath(tools, name) })),
    ...(toolsets.length === 0 ? { hint: installHint('17') } : {}),
  }));
}

/** Of the lowest major version that will do, the newest minor one; the list is sorted newest first. */
function closest(toolsets: readonly Toolset[], atLeast: number): Toolset | undefined {
  const fitting = toolsets.filter(({ major }) => major >= atLeast);
  const lowest = Math.min(...fitting.map(({ major }) => major));
  return fitting.find(({ major }) => major === lowest);
}

function missing(toolsets: readonly Toolset[], major: number, why: string): never {
  const present = toolsets.map(({ version }) => version).join(', ') || 'none';
  throw new ForestayError(
    'ToolMissing',
    `No fitting PostgreSQL client tools (pg_dump, pg_restore, psql): ${why}; on this worker are: ${present}.`,
    { hint: installHint(String(major)) },
  );
}

function installHint(major: string): string {
  return `Install them on the worker, on Debian with: apt-get install postgresql-client-${major}`;
}

async function existingFolders(patterns: readonly string[]): Promise<string[]> {
  const folders = new Set<string>();
  for (const pattern of patterns) {
    const [before, after] = pattern.split('*');
    if (before === undefined || after === undefined) {
      folders.add(pattern);
      continue;
    }
    const parent = before.slice(0, before.lastIndexOf('/') + 1);
    const start = before.slice(parent.length);
    for (const name of await readdir(parent).catch(() => [])) {
      if (name.startsWith(start)) folders.add(join(parent, name) + after);
    }
  }
  return [...folders];
}

/** Undefined where the program is not, does not run or does not say who it is. Debian's wrappers stand for other folders. */
async function versionOf(name: ToolName, path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    if ((await realpath(path)).endsWith('/pg_wrapper')) return undefined;
    const { stdout } = await runTool(path, ['--version'], { signal, timeoutMs: 10_000 });
    const match = /^(\S+) \(PostgreSQL\) (\d+(?:\.\d+)*)/.exec(stdout);
    return match?.[1] === name ? match[2] : undefined;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

export function majorOf(version: string): number {
  return Number.parseInt(version, 10);
}

function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
