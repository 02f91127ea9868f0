import type { Dataset } from './dataset.ts';
import { createFilesDataset } from './files/dataset.ts';
import { createMariadbDataset } from './mariadb/dataset.ts';
import { createPostgresqlDataset } from './postgresql/dataset.ts';
import { createRabbitmqDataset } from './rabbitmq/dataset.ts';
import { createRedisDataset } from './redis/dataset.ts';

/** One line for each engine that the story can be told with; the first is told unless another is asked for. */
const datasets = {
  postgresql: createPostgresqlDataset,
  mariadb: createMariadbDataset,
  files: createFilesDataset,
  rabbitmq: createRabbitmqDataset,
  redis: createRedisDataset,
} satisfies Readonly<Record<string, () => Dataset>>;

export const engines: readonly string[] = Object.keys(datasets);

/** Undefined where there is none of that name. */
export function findDataset(engine: string): Dataset | undefined {
  const found = Object.entries(datasets).find(([name]) => name === engine);
  return found?.[1]();
}
