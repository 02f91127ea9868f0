import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { toForestayError } from '../core/errors.ts';
import type { Engine } from '../engines/engine.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { putBytes } from './put-bytes.ts';

/** One thing that was looked at, for `forestay doctor`. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  readonly hint?: string | undefined;
}

/** Runs a check; what it throws becomes a finding, with its hint. */
export async function look(
  what: string,
  check: () => Promise<string | Omit<Finding, 'what'>>,
): Promise<Finding> {
  try {
    const seen = await check();
    return typeof seen === 'string' ? { what, state: 'ok', detail: seen } : { what, ...seen };
  } catch (thrown) {
    const error = toForestayError(thrown);
    // Whoever runs the doctor is an operator at a terminal, not a caller of the API: the cause is what they look for.
    // On one line: what TLS says ends with a line break.
    const cause = error.cause instanceof Error ? ` (${error.cause.message.replace(/\s+/g, ' ').trim()})` : '';
    return { what, state: 'fail', detail: `${error.message}${cause}`, hint: error.hint };
  }
}

/** What lies below it is worth nothing to anybody. */
export const doctorPrefix = 'doctor/';

/** Writes, reads and removes a small object. */
export async function examineStore(store: ObjectStore, signal: AbortSignal): Promise<string> {
  const key = `${doctorPrefix}${randomUUID()}`;
  const content = 'forestay doctor';
  await putBytes(store, key, Buffer.from(content), { signal });
  try {
    const read = await text(await store.get(key, { signal }));
    if (read !== content) throw new Error('what was read is not what was written');
  } finally {
    await store.delete([key], signal);
  }
  if (await store.head(key, signal)) throw new Error('an object that was deleted is still there');
  return `${store.name}: written, read and deleted`;
}

/** The programs an engine needs. */
export async function examineTools(engine: Engine, signal: AbortSignal): Promise<Finding[]> {
  const reports = await engine.tools(signal);
  return reports.map(({ tool, found, hint }) => {
    const what = `${engine.name}: ${tool}`;
    if (found.length === 0) return { what, state: 'fail', detail: 'not found', hint };
    return { what, state: 'ok', detail: found.map(({ version, path }) => `${version} (${path})`).join(', ') };
  });
}
