import fs from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import v8 from 'node:v8';
import { PGlite } from '@electric-sql/pglite';
import { NodeFS } from '@electric-sql/pglite/nodefs';
import { lockDataDir } from './data-dir-lock.ts';

/**
 * The embedded PostgreSQL (PGlite) of a site without `DATABASE_URL`. As shipped, PGlite never syncs: it starts with
 * fsync off, and its file system has no fsync. Both are mended here, so that a committed row survives a crash.
 */

interface FsyncStream {
  nfd?: number;
}

class DurableNodeFS extends NodeFS {
  override async init(...args: Parameters<NodeFS['init']>): ReturnType<NodeFS['init']> {
    const initialised = await super.init(...args);
    const { emscriptenOpts } = initialised;
    emscriptenOpts.preRun = [
      ...[emscriptenOpts.preRun ?? []].flat(),
      (module: unknown) => {
        const { NODEFS } = module as { NODEFS: { stream_ops: { fsync?: (stream: FsyncStream) => number } } };
        NODEFS.stream_ops.fsync = (stream) => {
          if (stream.nfd !== undefined) fs.fsyncSync(stream.nfd);
          return 0;
        };
      },
    ];
    return initialised;
  }
}

// V8's optimising compiler takes 1.3 GB at its peak for PGlite's module, its baseline compiler 0.2 GB (both measured as
// VmHWM), and queries as small as ours are not slower by it. Set before the first WebAssembly module is compiled.
for (const flag of ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering'])
  v8.setFlagsFromString(flag);

// wal_sync_method=fsync because fdatasync is a no-op in PGlite's build of PostgreSQL.
const startParams = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== '-F'),
  ...['-c', 'fsync=on', '-c', 'wal_sync_method=fsync', '-c', 'shared_buffers=16MB'],
];

export interface EmbeddedDatabase {
  readonly pglite: PGlite;
  close(): Promise<void>;
}

const int8 = 20;

/** Opens the database in `<dataDir>/db`, which one process at a time may do. The first time takes some seconds. */
export async function openEmbedded(dataDir: string): Promise<EmbeddedDatabase> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  // Also where it was there before: PGlite makes its files readable for everybody.
  await chmod(dataDir, 0o700);
  const unlock = lockDataDir(dataDir);
  try {
    const pglite = await PGlite.create({
      fs: new DurableNodeFS(path.join(dataDir, 'db')),
      startParams,
      parsers: { [int8]: Number },
    });
    return {
      pglite,
      async close() {
        await pglite.close();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}
