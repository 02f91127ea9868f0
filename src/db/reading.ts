import { CompiledQuery, type Kysely } from 'kysely';
import type { Tables } from './schema.ts';

/**
 * A query of one row at most as a value: to be asked by itself (`read`), or along with another one in the same round trip
 * (`findToken`). Its columns are of types that come out of JSON as they come out of the driver.
 */
export interface Reading<Value> {
  /** Belongs to the text: see `prepared.ts`. */
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly (string | number | null)[];
  valueOf(row: object | undefined): Value;
}

export async function read<Value>(db: Kysely<Tables>, reading: Reading<Value>): Promise<Value> {
  const text = `/* prepared: ${reading.name} */ ${reading.text}`;
  const { rows } = await db.executeQuery<object>(CompiledQuery.raw(text, [...reading.parameters]));
  return reading.valueOf(rows[0]);
}

/** The same reading of something else made from it. */
export function mapReading<From, To>(reading: Reading<From>, map: (value: From) => To): Reading<To> {
  return { ...reading, valueOf: (row) => map(reading.valueOf(row)) };
}

/** The same for readings that ask the same, for `shareReads`. */
export function readingKey({ name, parameters }: Reading<unknown>): string {
  return `${name} ${JSON.stringify(parameters)}`;
}
