import { parseArgs } from 'node:util';
import type { DataSize, Dataset } from './dataset.ts';
import { engines, findDataset } from './datasets.ts';
import { findStoreKind, storeKinds } from './stores/kinds.ts';
import type { StoreKind } from './stores/layout.ts';

export interface Options {
  /** Leave the sites running for a look around. */
  readonly keep: boolean;
  readonly size: DataSize;
  readonly dataset: Dataset;
  readonly stores: StoreKind;
}

export const usage = `usage: npm run demo [-- [--engine <name>] [--store <kind>] [--keep] [--size small]]

  --engine       what is backed up and recovered: ${engines.join(', ')}; ${engines[0]} by default
  --store        where backups lie: ${storeKinds.join(', ')}; ${storeKinds[0]} by default
  --keep         when the story is told, leave the sites running for a look around, until Ctrl-C
  --size small   about 20 MB of data instead of 200 MB
  --help         this text
`;

/** Undefined when help is wanted. Throws a TypeError that says what is wrong. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      engine: { type: 'string' },
      store: { type: 'string' },
      keep: { type: 'boolean' },
      size: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return undefined;
  const { size = 'full', keep = false, engine = engines[0] ?? '', store = storeKinds[0] ?? '' } = values;
  if (size !== 'full' && size !== 'small') throw new TypeError('--size is either full or small.');
  const dataset = findDataset(engine);
  if (!dataset)
    throw new TypeError(`--engine ${engine}: there is no such engine here, but ${engines.join(', ')}.`);
  const stores = findStoreKind(store);
  if (!stores)
    throw new TypeError(
      `--store ${store}: there is no such kind of store here, but ${storeKinds.join(', ')}.`,
    );
  return { keep, size, dataset, stores };
}
