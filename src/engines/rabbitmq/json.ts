import { createHash } from 'node:crypto';

/** JSON of the management API. Numbers that JavaScript would change (1.0, beyond 2^53) are kept as they were written. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

interface RawJson {
  readonly rawJSON: string;
}

/** Of ECMAScript 2026, which TypeScript's library does not know yet. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): Json;
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
};

/** Throws a SyntaxError. An argument of a queue that was written 1.0 must not come back as 1: the broker tells the two apart. */
export function parseJson(text: string): Json {
  return json.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? json.rawJSON(source)
      : value,
  );
}

/** One text for equal values: members in the order of their names. */
export function canonical(value: Json): string {
  if (value === null || typeof value !== 'object' || json.isRawJSON(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = value as Readonly<Record<string, Json>>;
  const texts = Object.keys(members)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(members[name] ?? null)}`);
  return `{${texts.join(',')}}`;
}

export function digestOf(texts: Iterable<string>): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(text);
  return hash.digest('hex');
}

export function isObject(value: unknown): value is Readonly<Record<string, Json>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
