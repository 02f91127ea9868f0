import { createFilesystemStore } from '../../../src/storage/filesystem/store.ts';
import { generated, never } from '../../contract/store-data.ts';

/** A program: puts so many bytes under a key and, if that ever ends, exits. Arguments: root, key, bytes. */
const [root = '', key = '', bytes = ''] = process.argv.slice(2);
await createFilesystemStore({ root }).put(key, generated(Number(bytes)), { signal: never });
