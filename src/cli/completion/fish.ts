import { type Node, type OptionFacts, type ValueKind, valueOptions } from './command-tree.ts';

/** For `forestay completion fish | source`. */
export function fishCompletion(tree: readonly Node[]): string {
  const withValue = valueOptions(tree).flatMap(({ long, short }) => (short ? [long, short] : [long]));
  const steps = tree.flatMap((node) => node.children.map(({ name }) => `'${`${node.path} ${name}`.trim()}'`));
  return `# Completion of forestay for fish. Use it with: forestay completion fish | source
function __forestay_at
    set -l at ''
    set -l skip ''
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip ''
            continue
        end
        if contains -- $word ${withValue.join(' ')}
            set skip yes
            continue
        end
        set -l step (string trim -- "$at $word")
        if contains -- $step ${steps.join(' ')}
            set at $step
        end
    end
    test "$at" = "$argv"
end
complete -c forestay -f
${tree.flatMap(lines).join('\n')}
`;
}

function lines(node: Node): string[] {
  const start = `complete -c forestay -n '__forestay_at ${node.path}'`;
  return [
    ...(node.argument === 'file' ? [`${start} -F`] : []),
    ...(typeof node.argument === 'object' ? [`${start} -a '${node.argument.join(' ')}'`] : []),
    ...node.children.map(({ name, description }) => `${start} -a ${name} -d ${quoted(description)}`),
    ...node.options.map((option) => `${start} ${optionOf(option)} -d ${quoted(option.description)}`),
  ];
}

function optionOf({ long, short, value }: OptionFacts): string {
  const names = `${short ? `-s ${short.slice(1)} ` : ''}-l ${long.slice(2)}`;
  return value === undefined ? names : `${names} ${completeValue(value)}`;
}

function completeValue(kind: ValueKind): string {
  if (kind === 'file') return '-r -F';
  return typeof kind === 'object' ? `-x -a '${kind.join(' ')}'` : '-x';
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
