/**
 * Measures everything once a round, and goes through it backwards in every other one: what else the machine does then
 * falls on all of them alike, and figures of one round may be divided by each other.
 */
export async function inRounds<Name extends string>(
  rounds: number,
  runs: Readonly<Record<Name, () => Promise<number>>>,
  onRun: (name: Name, round: number, value: number) => void,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(runs) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 1; round <= rounds; round++) {
    for (const name of round % 2 === 1 ? names : names.toReversed()) {
      const value = await runs[name]();
      values[name].push(value);
      onRun(name, round, value);
    }
  }
  return values;
}

export function ratios(dividends: readonly number[], divisors: readonly number[]): number[] {
  return dividends.map((dividend, round) => dividend / divisors[round]!);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
