/** Makes a private folder with something in it, tells its path, and holds it until it is killed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePrivateFolder } from '../../../src/engines/postgresql/private-folder.ts';

if (process.send) {
  const { path } = await makePrivateFolder(process.argv[2] === 'spool' ? 'spool' : 'tls');
  writeFileSync(join(path, 'secret'), 'secret');
  process.on('message', () => {});
  process.send(path);
}
