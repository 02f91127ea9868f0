import { type Bench, settle } from '../bench.ts';
import { type Dataset, dropDatabase, dropReplaced, makeRows } from '../dataset.ts';
import type { EngineRival, RivalServer } from './rival.ts';

/** The same comparison as in the parts `backup` and `restore`, which have more to say; here beside the other engines. */
export const postgresqlRival: EngineRival = {
  engine: 'postgresql',
  rivals: { backup: 'pg_dump -Fc -Z0 > /dev/null', restore: 'pg_restore of a local file' },
  targets: { backup: 1.25, restore: 1.25 },
  start,
};

const database = 'engine_rows';
const restored = 'engine_rows_restored';

async function start(bench: Bench): Promise<RivalServer> {
  let dataset: Dataset | undefined;
  const made = (): Dataset => {
    if (!dataset) throw new Error('The database has not been filled.');
    return dataset;
  };
  return {
    get connection() {
      return { url: made().url };
    },
    async fill(bytes) {
      dataset = await makeRows(bench, database, bytes);
    },
    async settle() {
      await dropDatabase(bench, restored);
      if (dataset) await bench.sql(`CREATE DATABASE ${restored} OWNER ${dataset.role}`);
      await settle(bench);
    },
    get tool() {
      const target = new URL(made().url);
      target.pathname = `/${restored}`;
      return {
        env: { BIN_DIR: bench.binDir, SOURCE: made().url, TARGET: target.href },
        dump: '"$BIN_DIR/pg_dump" -Fc -Z0 -d "$SOURCE"',
        load: '"$BIN_DIR/pg_restore" --exit-on-error -d "$TARGET"',
      };
    },
    async [Symbol.asyncDispose]() {
      if (bench.signal.aborted) return;
      await dropReplaced(bench);
      for (const name of [restored, database]) await dropDatabase(bench, name);
    },
  };
}
