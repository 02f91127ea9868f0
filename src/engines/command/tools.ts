import { runTool } from '../../pipeline/child-process.ts';
import type { ToolReport } from '../engine.ts';
import type { Command } from './commands-file.ts';

/** Whether the programs of the commands are there. */
export async function reportTools(commands: readonly Command[], signal: AbortSignal): Promise<ToolReport[]> {
  return Promise.all(
    commands.flatMap((command) => {
      const programs = new Set(
        [
          command.backup,
          command.restore,
          command.probe,
          command.settle,
          command.undo,
          command.discard,
        ].flatMap((argv) => (argv?.[0] === undefined ? [] : [argv[0]])),
      );
      return [...programs].map(async (program) => {
        const path = await locate(program, command.folder, signal);
        const tool = `${command.name}: ${program}`;
        const hint = `Install ${program} on the machine of the worker, or correct the file of commands.`;
        return path === undefined
          ? { tool, found: [], hint }
          : { tool, found: [{ version: 'present', path }], hint };
      });
    }),
  );
}

async function locate(program: string, folder: string, signal: AbortSignal): Promise<string | undefined> {
  const found = await runTool('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', program], {
    cwd: folder,
    signal,
    timeoutMs: 10_000,
  }).catch(() => undefined);
  return found?.stdout.trim() || undefined;
}
