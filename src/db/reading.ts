import { CompiledQuery, type Kysely } from 'kysely';
import type { Tables } from './schema.ts';

/**
 * A query of one row at most as a value: to be asked by itself (`read`), or along with another one in the same round trip
 * (`findToken`). The row comes as JSON text, so that who reads the same again need not make the same of it again (`remembering`).
 */
export interface Reading<Value> {
  /** Belongs to the text: see `prepared.ts`. */
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly (string | number | null)[];
  /** What the row means, from JSON text; undefined without a row. */
  valueOf(row: string | undefined): Value;
}

export async function read<Value>(db: Kysely<Tables>, reading: Reading<Value>): Promise<Value> {
  const text = `/* prepared: ${reading.name} */ select row_to_json(reading)::text as row from (${reading.text}) reading`;
  const { rows } = await db.executeQuery<{ row: string }>(CompiledQuery.raw(text, [...reading.parameters]));
  return reading.valueOf(rows[0]?.row);
}

/** The same reading of something else made from it. */
export function mapReading<From, To>(reading: Reading<From>, map: (value: From) => To): Reading<To> {
  return { ...reading, valueOf: (row) => map(reading.valueOf(row)) };
}

/** The same for readings that ask the same, for `shareReads`. */
export function readingKey({ name, parameters }: Reading<unknown>): string {
  return `${name} ${JSON.stringify(parameters)}`;
}

/** How many readings are remembered, and of how long a row at most, in UTF-16 code units: a few megabytes in all. */
const most = 64;
const longest = 64 * 1024;

/**
 * Remembers what was made of the last row of a reading, as long as the database answers the same bytes: it is asked every time. For
 * what many clients poll and little changes.
 */
export function remembering<Value>(): (reading: Reading<Value>) => Reading<Value> {
  const last = new Map<string, { row: string; value: Value }>();
  return (reading) => ({
    ...reading,
    valueOf(row) {
      if (row === undefined || row.length > longest) return reading.valueOf(row);
      const key = readingKey(reading);
      const known = last.get(key);
      if (known?.row === row) return known.value;
      const value = reading.valueOf(row);
      last.delete(key);
      last.set(key, { row, value });
      const [oldest] = last.keys();
      if (last.size > most && oldest !== undefined) last.delete(oldest);
      return value;
    },
  });
}
