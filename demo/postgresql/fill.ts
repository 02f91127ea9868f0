import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { clientConfig } from '../../test/support/postgres-client.ts';
import type { DataSize, FillStep } from '../dataset.ts';

/** Rows of `fill.sql`; `full` comes to about 200 MB as `pg_database_size` sees it. */
const rows: Readonly<Record<DataSize, Readonly<Record<string, number>>>> = {
  full: { customers: 60_000, products: 8000, orders: 200_000, events: 250_000, scan: 40_000 },
  small: { customers: 3000, products: 400, orders: 8000, events: 10_000, scan: 4000 },
};

/** Runs `fill.sql`, a step after the other. */
export async function fill(
  url: string,
  size: DataSize,
  onStep: (step: FillStep) => void,
  signal: AbortSignal,
): Promise<void> {
  const script = await readFile(join(import.meta.dirname, 'fill.sql'), 'utf8');
  const numbered = script.replace(/%(\w+)%/g, (_, name: string) => String(rows[size][name]));
  const [, ...steps] = numbered.split(/^-- step: /m);
  const client = new pg.Client(clientConfig(url));
  await client.connect();
  try {
    for (const [done, step] of steps.entries()) {
      signal.throwIfAborted();
      const [title = '', ...sql] = step.split('\n');
      onStep({ done, total: steps.length, title });
      await client.query(sql.join('\n'));
    }
    // As autovacuum would have done by now: what reads the data later finds statistics.
    await client.query('ANALYZE');
  } finally {
    await client.end();
  }
}
