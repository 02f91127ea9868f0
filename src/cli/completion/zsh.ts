import { type Node, type OptionFacts, type ValueKind, valueOptions } from './command-tree.ts';

/** For a file `_forestay` in a folder of `$fpath`, or `source <(forestay completion zsh)`. */
export function zshCompletion(tree: readonly Node[]): string {
  const withValue = valueOptions(tree);
  const steps = tree.flatMap((node) => node.children.map(({ name }) => `'${`${node.path} ${name}`.trim()}'`));
  return `#compdef forestay
# Completion of forestay for zsh. Use it with: source <(forestay completion zsh), or as _forestay in a folder of $fpath.
_forestay() {
  local at='' step word skip='' before=\${words[CURRENT-1]}
  local -a candidates
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case "$word" in ${withValue.flatMap(names).join('|')}) skip=yes; continue ;; esac
    step="\${at:+$at }$word"
    case "$step" in ${steps.join('|')}) at=$step ;; esac
  done
  case "$before" in
${withValue.map((option) => `    ${names(option).join('|')}) ${completeValue(option.value)}; return ;;`).join('\n')}
  esac
  case "$at" in
${tree.map(branch).join('\n')}
  esac
  _describe 'forestay' candidates
}
if [[ "$funcstack[1]" == _forestay ]]; then _forestay "$@"; else compdef _forestay forestay; fi
`;
}

function names({ long, short }: OptionFacts): string[] {
  return short ? [long, short] : [long];
}

function branch(node: Node): string {
  const argument = typeof node.argument === 'string' ? [] : node.argument.map((word) => quoted(word));
  const candidates = [
    ...argument,
    ...node.children.map(({ name, description }) => described(name, description)),
    ...node.options.flatMap((option) => names(option).map((name) => described(name, option.description))),
  ];
  const files = node.argument === 'file' ? '_files; ' : '';
  return `    '${node.path}') ${files}candidates=(${candidates.join(' ')}) ;;`;
}

function completeValue(kind: ValueKind | undefined): string {
  if (kind === 'file') return '_files';
  return typeof kind === 'object'
    ? `candidates=(${kind.map(quoted).join(' ')}); _describe 'value' candidates`
    : ':';
}

function described(name: string, description: string): string {
  return quoted(`${name}:${description.replaceAll(':', '\\:')}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
