import { type Node, type OptionFacts, type ValueKind, valueOptions } from './command-tree.ts';

/** For `source <(forestay completion bash)`. */
export function bashCompletion(tree: readonly Node[]): string {
  const withValue = valueOptions(tree);
  const steps = tree.flatMap((node) => node.children.map(({ name }) => `'${`${node.path} ${name}`.trim()}'`));
  return `# Completion of forestay for bash. Use it with: source <(forestay completion bash)
_forestay() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} at='' step word skip='' words='' files=''
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ -n $skip ]]; then skip=''; continue; fi
    case "$word" in ${withValue.flatMap(names).join('|')}) skip=yes; continue ;; esac
    step="\${at:+$at }$word"
    case "$step" in ${steps.join('|')}) at=$step ;; esac
  done
  case "$before" in
${withValue.map((option) => `    ${names(option).join('|')}) ${completeValue(option.value)} ;;`).join('\n')}
    *)
      case "$at" in
${tree.map(branch).join('\n')}
      esac ;;
  esac
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
  [[ -n $words ]] && mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$current")
  return 0
}
complete -F _forestay forestay
`;
}

function names({ long, short }: OptionFacts): string[] {
  return short ? [long, short] : [long];
}

function branch(node: Node): string {
  const words = [...node.children.map(({ name }) => name), ...node.options.flatMap(names)];
  const argument = typeof node.argument === 'string' ? [] : node.argument;
  const files = node.argument === 'file' ? 'files=yes; ' : '';
  return `        '${node.path}') ${files}words='${[...argument, ...words].join(' ')}' ;;`;
}

function completeValue(kind: ValueKind | undefined): string {
  if (kind === 'file') return 'files=yes';
  return typeof kind === 'object' ? `words='${kind.join(' ')}'` : ':';
}
