import { runTool } from './child-process.ts';

/** Where PATH, as the programs we start see it, finds a program; undefined where it does not. */
export async function findProgram(
  program: string,
  { cwd, signal }: { readonly cwd?: string; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const found = await runTool('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', program], {
    ...(cwd !== undefined && { cwd }),
    signal,
    timeoutMs: 10_000,
  }).catch(() => undefined);
  return found?.stdout.trim() || undefined;
}
