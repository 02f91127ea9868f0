import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A table of the upstream documents, as their pages were saved as text. */
export interface SpecTable {
  readonly kind: 'request' | 'response' | 'status';
  readonly rows: readonly SpecRow[];
}
export interface SpecRow {
  /** A field, or a status code. */
  readonly name: string;
  readonly type: string;
  readonly required: boolean | undefined;
  readonly description: string;
}

export function readSpec(name: 'public-api-v0.txt' | 'public-api-v1-disaster-recovery.txt'): string {
  return readFileSync(join(import.meta.dirname, '../fixtures/spec', name), 'utf8');
}

/** V0: columns between bars, a header line, then a line of dashes. */
export function tablesOfV0(text: string): SpecTable[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.flatMap((line, position) => {
    const kind = kindOf(line);
    if (!kind || !lines[position + 1]?.startsWith('---|')) return [];
    const rows: SpecRow[] = [];
    for (let at = position + 2; lines[at]?.includes(' |'); at++) {
      const [name = '', second = '', third = ''] = lines[at]!.split(' |').map((cell) => cell.trim());
      rows.push({
        name: name.split(' ')[0]!,
        type: kind === 'status' ? '' : second,
        required: undefined,
        description: third,
      });
    }
    return [{ kind, rows }];
  });
}

/** V1: the cells of a row stand in one line with nothing between them. */
export function tablesOfV1(text: string): SpecTable[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.flatMap((line, position) => {
    const kind = kindOf(line);
    if (!kind) return [];
    const rows: SpecRow[] = [];
    for (let at = position + 1; at < lines.length; at++) {
      const row =
        kind === 'status' ? /^(\d{3})()()(.+)$/ : /^([a-z_]+?)(string|integer)(true|false)?([A-Z].*)$/;
      const match = row.exec(lines[at]!);
      if (!match) break;
      const [, name = '', type = '', required, description = ''] = match;
      rows.push({ name, type, required: required ? required === 'true' : undefined, description });
    }
    return [{ kind, rows }];
  });
}

function kindOf(line: string): SpecTable['kind'] | undefined {
  if (line.startsWith('Request Field')) return 'request';
  if (line.startsWith('Response Field')) return 'response';
  return line.startsWith('Status Code') && line.endsWith(line.includes('|') ? '|' : 'Description')
    ? 'status'
    : undefined;
}

/** Whether a value is of a type as the documents name them. */
export function isOfType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'string') return typeof value === 'string';
  if (type === 'datetime')
    return typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);
  if (type.startsWith('array of')) return Array.isArray(value);
  if (type.endsWith('object')) return typeof value === 'object' && value !== null && !Array.isArray(value);
  throw new Error(`the documents have a type that the tests do not know: ${type}`);
}
