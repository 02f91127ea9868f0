import { ForestayError } from '../../core/errors.ts';
import { runTool } from '../../pipeline/child-process.ts';
import { findProgram } from '../../pipeline/find-program.ts';
import type { ToolReport } from '../engine.ts';
import type { Shell } from './shell.ts';

/** The shell that we use has `.connection` since this version (2021). */
const oldest = [3, 37] as const;
const versionMs = 10_000;

/** The version of SQLite. Throws `ToolMissing` without sqlite3, or when it is too old. */
export async function requireSqlite({ program }: Shell, signal: AbortSignal): Promise<string> {
  const { stdout } = await runTool(program, ['--version'], { signal, timeoutMs: versionMs });
  const [version = '', major, minor] = /^(\d+)\.(\d+)(?:\.\d+)*/.exec(stdout) ?? [];
  const [oldMajor, oldMinor] = oldest;
  if (Number(major) > oldMajor || (Number(major) === oldMajor && Number(minor) >= oldMinor)) return version;
  throw new ForestayError(
    'ToolMissing',
    `The program sqlite3 is not of version ${oldest.join('.')} or newer.`,
    {
      hint: 'Install a newer sqlite3 on the machine of the worker.',
    },
  );
}

/** Whether it is there. */
export async function reportTools(shell: Shell, signal: AbortSignal): Promise<ToolReport[]> {
  const hint = `Install sqlite3 ${oldest.join('.')} or newer, for example: apt-get install sqlite3`;
  const version = await requireSqlite(shell, signal).catch(() => undefined);
  const path = await findProgram(shell.program, { signal });
  return [{ tool: 'sqlite3', found: path && version ? [{ version, path }] : [], hint }];
}
