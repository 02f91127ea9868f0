import type { Command } from 'commander';

/** A command as completion scripts need it. */
export interface Node {
  /** Names from below the program, with a space between; empty for the program. */
  readonly path: string;
  readonly children: readonly { readonly name: string; readonly description: string }[];
  /** Its own and the global ones. */
  readonly options: readonly OptionFacts[];
  /** What its first argument is completed with. */
  readonly argument: ValueKind;
}

export interface OptionFacts {
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
  /** Undefined: it takes no value. */
  readonly value: ValueKind | undefined;
}

/** A list of words, names of files, or nothing that a shell could know. */
export type ValueKind = readonly string[] | 'file' | 'nothing';

/** Every command of the program, itself first. */
export function readTree(program: Command): readonly Node[] {
  const global = program.options;
  const visit = (command: Command, path: readonly string[]): Node[] => [
    {
      path: path.join(' '),
      children: command.commands.map((child) => ({ name: child.name(), description: child.description() })),
      options: [...command.options, ...(command === program ? [] : global)].map(factsOf).concat(help),
      argument: kindOf(command.registeredArguments[0]),
    },
    ...command.commands.flatMap((child) => visit(child, [...path, child.name()])),
  ];
  return visit(program, []);
}

/** Options of all commands that take a value: what follows one of these is no command. */
export function valueOptions(tree: readonly Node[]): readonly OptionFacts[] {
  const all = tree.flatMap((node) => node.options).filter((option) => option.value !== undefined);
  return [...new Map(all.map((option) => [option.long, option])).values()];
}

const help: OptionFacts = {
  long: '--help',
  short: '-h',
  description: 'display help for command',
  value: undefined,
};

function factsOf(option: Command['options'][number]): OptionFacts {
  const takesValue = option.required || option.optional;
  return {
    long: option.long ?? '',
    short: option.short,
    description: option.description,
    value: takesValue ? kindOf({ name: () => option.flags, argChoices: option.argChoices }) : undefined,
  };
}

function kindOf(of: { name(): string; argChoices?: string[] | undefined } | undefined): ValueKind {
  if (of?.argChoices) return of.argChoices;
  return of && /file/.test(of.name()) ? 'file' : 'nothing';
}
