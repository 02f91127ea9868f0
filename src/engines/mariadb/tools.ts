import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { ForestayError } from '../../core/errors.ts';
import { runTool } from '../../pipeline/child-process.ts';
import type { ToolReport } from '../engine.ts';
import type { Place } from './place.ts';

/** The program that makes backups. Restores need none. */
export interface DumpTool {
  /** `10.11.19` */
  readonly version: string;
  readonly path: string;
}

/** Where distributions put it. */
export const usualFolders: readonly string[] = [
  '/usr/bin',
  '/usr/local/bin',
  '/usr/local/mysql/bin',
  '/usr/local/mariadb/bin',
  '/opt/homebrew/bin',
];

/** The oldest that knows sequences and writes what this engine reads. */
const oldest = '10.5';

/** Every one in the folders, newest first. */
export async function findTools(folders: readonly string[], signal: AbortSignal): Promise<DumpTool[]> {
  const found: DumpTool[] = [];
  for (const folder of new Set(folders)) {
    const path = join(folder, 'mariadb-dump');
    const version = await versionOf(path, signal);
    if (version !== undefined) found.push({ version, path });
  }
  return found.toSorted((a, b) => compareVersions(b.version, a.version));
}

/** It must not be older than the server: what it does not know it would leave out. */
export function toolToDump(tools: readonly DumpTool[], place: Place): DumpTool {
  const least =
    place.flavor === 'MariaDB' && compareVersions(seriesOf(place.version), oldest) > 0
      ? seriesOf(place.version)
      : oldest;
  const fitting = tools.filter(({ version }) => compareVersions(seriesOf(version), least) >= 0);
  // The closest one: what a newer one writes need not be understood by this server again.
  const tool = fitting.at(-1);
  if (tool) return tool;
  const present = tools.map(({ version }) => version).join(', ') || 'none';
  throw new ForestayError(
    'ToolMissing',
    `No fitting mariadb-dump: it must be of version ${least} or newer; on this worker are: ${present}.`,
    { hint: installHint },
  );
}

const installHint = 'Install it on the worker, on Debian with: apt-get install mariadb-client';

/** What `tools` of the port answers. */
export function reportTools(tools: readonly DumpTool[]): ToolReport[] {
  return [
    {
      tool: 'mariadb-dump',
      found: tools.map(({ version, path }) => ({ version, path })),
      ...(tools.length === 0 ? { hint: installHint } : {}),
    },
  ];
}

/** Undefined where the program is not, does not run or does not say who it is. */
async function versionOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await runTool(path, ['--no-defaults', '--version'], { signal, timeoutMs: 10_000 });
    return /(?:Distrib |from )(\d+\.\d+\.\d+)-MariaDB/.exec(stdout)?.[1];
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** `10.11` of `10.11.19` */
export function seriesOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
