import { ForestayError } from '../../core/errors.ts';
import { runTool } from '../../pipeline/child-process.ts';
import { findProgram } from '../../pipeline/find-program.ts';
import type { ToolReport } from '../engine.ts';

/** Names that PATH finds, or absolute paths. */
export interface Programs {
  readonly tar: string;
  readonly find: string;
  /** Only to exchange two names in one step; without it there are two. */
  readonly perl: string;
}

export const usualPrograms: Programs = { tar: 'tar', find: 'find', perl: 'perl' };

/** Options for sparse files, ACLs and extended attributes are as we use them since this version. */
const oldestTar = [1, 29] as const;

/** The version of GNU tar. Throws `ToolMissing` when there is none, or another tar, or too old a one. */
export async function requireTar(programs: Programs, signal: AbortSignal): Promise<string> {
  const { stdout } = await runTool(programs.tar, ['--version'], { signal, timeoutMs: versionMs });
  const [, version, major, minor] = /^tar \(GNU tar\) ((\d+)\.(\d+)\S*)/.exec(stdout) ?? [];
  const [oldMajor, oldMinor] = oldestTar;
  if (
    version === undefined ||
    Number(major) < oldMajor ||
    (Number(major) === oldMajor && Number(minor) < oldMinor)
  ) {
    throw new ForestayError(
      'ToolMissing',
      `The program tar is not GNU tar ${oldestTar.join('.')} or newer.`,
      {
        hint: 'Install GNU tar on the machine of the worker.',
      },
    );
  }
  return version;
}

export async function reportTools(programs: Programs, signal: AbortSignal): Promise<ToolReport[]> {
  const look = async (tool: keyof Programs, hint: string): Promise<ToolReport> => {
    const path = await findProgram(programs[tool], { signal });
    const version = path && (await versionOf(path, signal));
    return version ? { tool, found: [{ version, path }], hint } : { tool, found: [], hint };
  };
  return [
    await look('tar', 'Install GNU tar, for example: apt-get install tar'),
    await look('find', 'Install GNU find, for example: apt-get install findutils'),
    await look('perl', 'Without perl a restore of a folder takes two renames: apt-get install perl-base'),
  ];
}

const versionMs = 10_000;

async function versionOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  const result = await runTool(path, ['--version'], { signal, timeoutMs: versionMs }).catch(() => undefined);
  return /\d+\.\d+[.\d]*/.exec(result?.stdout ?? '')?.[0];
}
