/** `node bench/upload.ts STORE KEY < file`: puts what comes in into a store, as a process of its own. */
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { stageBuffer } from '../src/pipeline/join-streams.ts';
import { handOver } from '../src/pipeline/release.ts';
import { prepareFilesystemStore } from '../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../src/storage/object-store.ts';
import { parseS3Location } from '../src/storage/s3/location.ts';
import { createS3Store } from '../src/storage/s3/store.ts';

const [url = '', key = ''] = process.argv.slice(2);
const store = await open();
await store.put(key, pieces(await openFile('/dev/stdin')), { signal: new AbortController().signal });
// Connections are kept for a next request that does not come.
process.exit(0);

async function open(): Promise<ObjectStore> {
  if (url.startsWith('s3:')) return createS3Store({ location: parseS3Location(url) });
  const root = url.slice('file:'.length);
  await prepareFilesystemStore(root);
  return createFilesystemStore({ root });
}

/** As the pipeline of a backup passes them on: as large, and each in memory of its own. */
async function* pieces(file: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.allocUnsafeSlow(stageBuffer) });
    if (bytesRead === 0) return;
    yield handOver(buffer.subarray(0, bytesRead));
  }
}
