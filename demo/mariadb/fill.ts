import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectMariadb, type MariadbAddress } from '../../test/support/mariadb-client.ts';
import type { DataSize, FillStep } from '../dataset.ts';

/** Rows of `fill.sql`; `full` comes to about 200 MB as the server counts them. */
const rows: Readonly<Record<DataSize, Readonly<Record<string, number>>>> = {
  full: { customers: 60_000, products: 8000, orders: 200_000, events: 300_000 },
  small: { customers: 3000, products: 500, orders: 8000, events: 20_000 },
};

/** Runs `fill.sql`, a step after the other. */
export async function fill(
  address: MariadbAddress,
  size: DataSize,
  onStep: (step: FillStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const script = await readFile(join(import.meta.dirname, 'fill.sql'), 'utf8');
  const numbered = script.replace(/%(\w+)%/g, (_, name: string) => String(rows[size][name]));
  const [, ...steps] = numbered.split(/^-- step: /m);
  const client = await connectMariadb(address);
  try {
    await client.query("SET time_zone = '+00:00'");
    for (const [done, step] of steps.entries()) {
      signal.throwIfAborted();
      const [title = '', ...sql] = step.split('\n');
      onStep({ done, total: steps.length, title });
      await client.query(sql.join('\n'));
    }
  } finally {
    await client.end();
  }
}
