import { median } from './rounds.ts';

/** One line of the result: what was measured, and whether it is as good as it should be. */
export interface Row {
  readonly what: string;
  /** One for each round; judged by their median. */
  readonly values: readonly number[];
  /** `x`: a ratio. */
  readonly unit: 'x' | 'MB';
  readonly target?: { readonly atMost: number } | { readonly atLeast: number };
  /** What the values come from, in seconds, requests or bytes. */
  readonly figures: string;
}

export function isMissed({ values, target }: Row): boolean {
  if (!target) return false;
  const value = median(values);
  return 'atMost' in target ? value > target.atMost : value < target.atLeast;
}

/** A table in Markdown, which reads well on a terminal too. */
export function formatReport(rows: readonly Row[], facts: readonly string[]): string {
  const cells = rows.map((row) => [
    row.what,
    shownValue(row),
    shownTarget(row),
    row.target ? (isMissed(row) ? 'MISSED' : 'ok') : '',
    row.figures,
  ]);
  const lines = [['what', 'median (least..most)', 'target', '', 'figures'], ...cells];
  const widths = lines[0]!.map((_, column) => Math.max(3, ...lines.map((line) => line[column]!.length)));
  const text = lines.map((line) => `| ${line.map((cell, at) => cell.padEnd(widths[at]!)).join(' | ')} |`);
  text.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return `${text.join('\n')}\n\n${facts.map((fact) => `- ${fact}`).join('\n')}\n`;
}

/** `10.2 (9.8..11.0) s` */
export function spread(values: readonly number[], unit: string, digits = 1): string {
  const show = (value: number) => value.toFixed(digits);
  return `${show(median(values))} (${show(Math.min(...values))}..${show(Math.max(...values))}) ${unit}`;
}

function shownValue({ values, unit }: Row): string {
  if (unit === 'MB') return values.map((value) => `${Math.round(value / 1e6)} MB`).join(', ');
  if (values.length === 1) return values[0]!.toFixed(2);
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)}..${Math.max(...values).toFixed(2)})`;
}

function shownTarget({ target, unit }: Row): string {
  if (!target) return '';
  const [word, value] = 'atMost' in target ? ['at most', target.atMost] : ['at least', target.atLeast];
  return `${word} ${unit === 'MB' ? `${Math.round(value / 1e6)} MB` : value}`;
}
