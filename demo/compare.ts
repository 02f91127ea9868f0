import type { Fingerprint } from './dataset.ts';
import { DemoFailed } from './demo-failed.ts';

/** What is missing, different or too much, a line each; empty when both are equal. */
export function differences(expected: Fingerprint, found: Fingerprint): string[] {
  const lines: string[] = [];
  for (const [name, value] of expected.facts) {
    const other = found.facts.get(name);
    if (other === undefined) lines.push(`${name} is missing`);
    else if (other !== value) lines.push(`${name} is different: ${other}, not ${value}`);
  }
  for (const name of found.facts.keys()) if (!expected.facts.has(name)) lines.push(`${name} is too much`);
  return lines;
}

const shown = 8;

/** Throws `DemoFailed` with what is different. Of nothing there is nothing to compare: that is refused, too. */
export function requireEqual(what: string, expected: Fingerprint, found: Fingerprint): void {
  if (expected.facts.size === 0) throw new DemoFailed(`${what}: there is nothing to compare with.`);
  const lines = differences(expected, found);
  if (lines.length === 0) return;
  const more = lines.length > shown ? [`and ${lines.length - shown} more differences`] : [];
  throw new DemoFailed(`${what} is not equal to the original.`, [...lines.slice(0, shown), ...more]);
}

/** A comparison that cannot fail proves nothing: throws `DemoFailed` when it does not notice what was destroyed. */
export function requireDifferent(what: string, expected: Fingerprint, found: Fingerprint): string[] {
  const lines = differences(expected, found);
  if (lines.length === 0)
    throw new DemoFailed(`${what}: the comparison does not notice that data was destroyed.`);
  return lines;
}
