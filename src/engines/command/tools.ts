import { findProgram } from '../../pipeline/find-program.ts';
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
        const path = await findProgram(program, { cwd: command.folder, signal });
        const tool = `${command.name}: ${program}`;
        const hint = `Install ${program} on the machine of the worker, or correct the file of commands.`;
        return path === undefined
          ? { tool, found: [], hint }
          : { tool, found: [{ version: 'present', path }], hint };
      });
    }),
  );
}
