import { Argument, type Command } from 'commander';
import { bashCompletion } from './completion/bash.ts';
import { readTree } from './completion/command-tree.ts';
import { fishCompletion } from './completion/fish.ts';
import { zshCompletion } from './completion/zsh.ts';
import { print } from './output.ts';
import { globalOptions } from './surroundings.ts';

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** `forestay completion`: a script for a shell, made from the commands there are. It asks no site. */
export function completionCommand(program: Command): void {
  program
    .command('completion')
    .description('Print a script that completes commands and options in a shell.')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(scripts)))
    .action((shell: keyof typeof scripts, _options, command: Command) => {
      const script = scripts[shell](readTree(program));
      print(globalOptions(command).json, { shell, script }, () => script);
    });
}
