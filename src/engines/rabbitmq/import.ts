import { abortError } from '../../pipeline/abort.ts';
import { forImport, type Item, type Section } from './definitions.ts';
import { canonical, type Json } from './json.ts';
import type { Thing } from './plan.ts';
import type { Work } from './work.ts';

/** One request must neither take the broker longer than a minute nor be larger than it reads. */
const maxCount = 200;
const maxBytes = 1024 * 1024;

/** Adds things, or makes those that are there like these; of queues and exchanges that are there nothing is changed. */
export async function importAll(
  { api, vhost, signal }: Pick<Work, 'api' | 'vhost' | 'signal'>,
  things: readonly Thing[],
): Promise<void> {
  let batch: Partial<Record<Section, Item[]>> = {};
  let [count, bytes] = [0, 0];
  const flush = async () => {
    if (signal.aborted) throw abortError(signal);
    if (count > 0) await api.post(['definitions'], batch as Json);
    batch = {};
    [count, bytes] = [0, 0];
  };
  for (const { section, item } of things) {
    const size = canonical(item).length;
    if (count >= maxCount || (count > 0 && bytes + size > maxBytes)) await flush();
    const items = batch[section] ?? [];
    items.push(forImport(section, item, vhost));
    batch[section] = items;
    count += 1;
    bytes += size;
  }
  await flush();
}
