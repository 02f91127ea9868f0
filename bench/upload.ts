/** `node bench/upload.ts STORE KEY < file`: puts what comes in into a store, as a process of its own. */
import { prepareFilesystemStore } from '../src/storage/filesystem/prepare.ts';
import { createFilesystemStore } from '../src/storage/filesystem/store.ts';
import type { ObjectStore } from '../src/storage/object-store.ts';
import { parseS3Location } from '../src/storage/s3/location.ts';
import { createS3Store } from '../src/storage/s3/store.ts';

const [url = '', key = ''] = process.argv.slice(2);
const store = await open();
await store.put(key, process.stdin, { signal: new AbortController().signal });
// Connections are kept for a next request that does not come.
process.exit(0);

async function open(): Promise<ObjectStore> {
  if (url.startsWith('s3:')) return createS3Store({ location: parseS3Location(url) });
  const root = url.slice('file:'.length);
  await prepareFilesystemStore(root);
  return createFilesystemStore({ root });
}
